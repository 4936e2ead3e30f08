"""What a doctor found in a run, for its report: each finding with when it began, was treated, and ended."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from training.config import Config
from training.doctor.doctor import Doctor
from training.doctor.finding import Finding, Severity
from training.doctor.runs import facts_of

TEXTS = ("id", "name", "what", "evidence", "why", "remedy")


@dataclass
class Episode:
    """One finding from when it began to when it was over; times are in images shown."""

    id: str
    name: str
    severity: str
    what: str
    evidence: str
    why: str
    remedy: str
    images: float
    until: float | None = None
    done: list[tuple[float, str]] = field(default_factory=list)
    """What was done about it, and when."""

    def worsened(self, line: Mapping[str, object]) -> None:
        """Take the severity of a later line, if it is worse."""
        told = str(line.get("severity", "note"))
        if level(told) > level(self.severity):
            self.severity = told


def level(severity: str) -> int:
    """Return how bad a severity is."""
    return Severity.__members__.get(severity.upper(), Severity.NOTE)


def episodes(told: Iterable[Mapping[str, object]], batch: int) -> list[Episode]:
    """Put the lines of findings.jsonl together, each finding told again with those before it."""
    found: list[Episode] = []
    present: dict[tuple[str, str], Episode] = {}
    for line in told:
        key = str(line.get("id", "")), str(line.get("name", ""))
        images = place(line) * batch
        if line.get("over"):
            if key in present:
                present.pop(key).until = images
            continue
        if key not in present:
            texts = {name: str(line.get(name, "")) for name in TEXTS}
            present[key] = Episode(**texts, severity=str(line.get("severity", "note")), images=images)
            found.append(present[key])
        present[key].worsened(line)
        if line.get("done"):
            present[key].done.append((images, str(line["done"])))
    return found


def place(line: Mapping[str, object]) -> float:
    """Return the step of a line; 0 where it has none."""
    step = line.get("step")
    return float(step) if isinstance(step, int | float) and math.isfinite(step) else 0.0


def written(log: Path) -> Iterator[dict[str, object]]:
    """Yield the lines of a findings.jsonl, none if there is no file; what cannot be read is passed over."""
    if not log.exists():
        return
    with log.open(errors="replace") as file:
        for text in file:
            try:
                line = json.loads(text)
            except ValueError:
                continue
            if isinstance(line, dict):
                yield line


def heard(lines: Iterable[Mapping[str, float]], config: Config) -> Iterator[dict[str, object]]:
    """Yield what the doctor would have written of a run that it did not watch, given its log."""
    doctor = Doctor(facts_of(config))
    for line in lines:
        news = doctor.hear(line)
        told = [(finding, True) for finding in doctor.ended] + [(finding, False) for finding in news]
        yield from (as_line(finding, line, over) for finding, over in told)


def as_line(finding: Finding, line: Mapping[str, float], over: bool) -> dict[str, object]:
    """Return a finding as findings.jsonl has it."""
    texts = asdict(finding) | {"severity": finding.severity.name.lower()}
    return {"step": line.get("step", 0), "over": over} | texts
