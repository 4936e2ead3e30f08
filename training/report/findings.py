"""What a doctor found in a run, for its report: each finding with when it began, was treated, and ended."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from training.config import Config
from training.doctor.doctor import Doctor
from training.doctor.finding import Severity
from training.doctor.runs import facts_of

TEXTS = ("id", "name", "severity", "what", "evidence", "why", "remedy")
MOST_STEPS = 2**53  # no run takes more; what a damaged line says may be beyond any float


@dataclass
class Episode:
    """One finding from when it began to when it was over; times are in images shown."""

    texts: dict[str, str]
    """TEXTS, as findings.jsonl has them."""
    images: float
    until: float | None = None
    done: list[tuple[float, str]] = field(default_factory=list)
    """When something was done about it, and what."""

    def hear(self, line: Mapping[str, object], images: float) -> None:
        """Take a later line of the same finding: what was done, and a worse severity."""
        severity = str(line.get("severity"))
        if level(severity) > level(self.texts["severity"]):
            self.texts["severity"] = severity
        if line.get("done"):
            self.done.append((images, str(line["done"])))

    def shown(self) -> dict[str, Any]:
        """Return what the page shows."""
        return {**self.texts, "images": self.images, "until": self.until, "done": self.done}


def level(severity: str) -> int:
    """Return how bad a severity is; 0 if there is none of that name."""
    return Severity.__members__.get(severity.upper(), 0)


def episodes(lines: Iterable[Mapping[str, object]], batch: int) -> list[Episode]:
    """Put the lines of findings.jsonl together, each finding told again with those before it."""
    found: list[Episode] = []
    present: dict[tuple[str, str], Episode] = {}
    for line in lines:
        texts = {name: str(line.get(name, "")) for name in TEXTS}
        key, images = (texts["id"], texts["name"]), place(line) * batch
        if line.get("over"):
            if key in present:
                present.pop(key).until = images
            continue
        if key not in present:
            present[key] = Episode(texts, images)
            found.append(present[key])
        present[key].hear(line, images)
    return found


def place(line: Mapping[str, object]) -> float:
    """Return the step of a line; 0 where it has none that a run could take."""
    step = line.get("step")
    return float(step) if isinstance(step, int | float) and abs(step) < MOST_STEPS else 0.0


def heard(lines: Iterable[Mapping[str, float]], config: Config) -> Iterator[dict[str, object]]:
    """Yield what the doctor would have written of a run that it did not watch, given its log."""
    doctor = Doctor(facts_of(config))
    for line in lines:
        news = doctor.hear(line)
        told = [(finding, True) for finding in doctor.ended] + [(finding, False) for finding in news]
        yield from (
            {"step": line.get("step", 0)} | finding.to_dict() | {"over": over} for finding, over in told
        )
