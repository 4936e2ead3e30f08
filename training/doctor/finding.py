"""What a doctor finds: in a run, a log, a script or a folder of pictures."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import IntEnum


class Severity(IntEnum):
    """How bad a finding is; the worst come first."""

    NOTE = 1  # worth knowing; nothing is wrong yet
    WARNING = 2  # costs quality or time
    CRITICAL = 3  # the run is lost, or will be

    @property
    def word(self) -> str:
        """The name as it is printed and written, such as "critical"."""
        return self.name.lower()


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, with what shows it and what to do."""

    id: str  # stable, for machines, as in "D2"; listed in the docs
    name: str  # the same for people, in the field's own words, as in "domination"
    severity: Severity
    what: str  # one sentence
    evidence: str  # the numbers or the lines that show it
    why: str  # one sentence
    remedy: str  # what the user can do, lines of code where code is meant
    where: str = ""  # "image 3,200", "line 41", "cards/a.png and 3 more"
    done: str = ""  # what was done about it without being asked

    def __str__(self) -> str:
        """Write it for a terminal, in a few lines."""
        head = f"{self.severity.word} {self.id} {self.name}"
        parts = [
            f"{head} ({self.where})" if self.where else head,
            f"  {self.what}",
            f"  seen: {self.evidence}",
            f"  why: {self.why}",
            "  do: " + self.remedy.replace("\n", "\n      "),
        ]
        return "\n".join(parts + ([f"  done: {self.done}"] if self.done else []))

    def to_dict(self) -> dict[str, object]:
        """Return every field as JSON holds it, the severity as its word."""
        return {**asdict(self), "severity": self.severity.word}


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """Sort by severity; among equals the order stays."""
    return sorted(findings, key=lambda finding: -finding.severity)
