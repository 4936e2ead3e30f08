"""Where in the run a line of a log stands, in whatever it counts."""

from collections.abc import Mapping
from typing import NamedTuple

from training.doctor.columns import Columns
from training.doctor.rows import TOTAL, Row
from training.doctor.survey import Survey

EPOCH = 100
"""Steps that an epoch is taken for where the log does not tell: more than any rule of losses waits for."""
EPOCHS = 1000
"""More epochs than anybody trains: they are steps, as in "10000 [D loss: 0.1]"."""
BATCH = 32
"""Images that a step is taken for where only images are told."""
NEW_EPOCH = 0.1
"""Of the last step: a count that falls to it or to 1 begins a new epoch; otherwise the run went back."""


class Moment(NamedTuple):
    """A place in the run."""

    step: float
    images: float | None
    where: str


class Clock:
    """Counts steps through a log; its lines must come in order."""

    def __init__(self, columns: Columns, survey: Survey) -> None:
        role = {role: survey.columns[name] for role, name in columns.of.items()}
        step, epoch = role.get("step"), role.get("epoch")
        self.total = columns.of["step"] + TOTAL if "step" in columns.of else ""
        self.lines = 0
        self.before = 0.0  # steps of the epochs before this one
        self.step: float | None = None
        self.stride = 1.0
        self.epoch: float | None = None
        self.counted: float | None = None  # epoch of the last step
        self.images: float | None = None
        if step:
            self.unit = "step"
        elif "images" in role or "kimg" in role:
            self.unit = "image"
        elif epoch and not epoch.repeats:
            self.unit = "step called epoch" if epoch.high > EPOCHS else "epoch"
        else:
            self.unit = "line"

    def at(self, line: Mapping[str, float], row: Row) -> Moment:
        """Return where this line stands; one that does not say so stands where the last did."""
        self.lines += 1
        self.epoch = line.get("epoch", self.epoch)
        self.images = line.get("images", self.images)
        if "step" in line:
            self.count_on(line["step"], row.get(self.total))
        return Moment(self.now, self.images, self.where)

    def count_on(self, step: float, total: float | None) -> None:
        """Take a step as it is written, or in the next epoch if it began again."""
        if self.step is not None and step < self.step:
            if self.epoch != self.counted or step <= max(1, NEW_EPOCH * self.step):
                self.before += total or self.step + self.stride
        elif self.step is not None and step > self.step:
            self.stride = step - self.step
        self.step, self.counted = step, self.epoch

    @property
    def now(self) -> float:
        """Return the step since the beginning, or what stands for it."""
        match self.unit:
            case "step":
                return self.before + (self.step or 0)
            case "image":
                return (self.images or 0) / BATCH
            case "epoch":
                return EPOCH * (self.epoch or 0)
            case "step called epoch":
                return self.epoch or 0
            case _:
                return self.lines - 1

    @property
    def where(self) -> str:
        """Say it in the log's own count."""
        match self.unit:
            case "step" if self.epoch is not None:
                return f"epoch {self.epoch:,.0f}, step {self.step or 0:,.0f}"
            case "image":
                return f"image {self.images or 0:,.0f}"
            case "epoch":
                return f"epoch {self.epoch or 0:,.0f}"
            case "line" if self.epoch is not None:
                return f"epoch {self.epoch:,.0f}, line {self.lines:,}"
            case "line":
                return f"line {self.lines:,}"
            case _:
                return f"step {self.now:,.0f}"

    @property
    def caveat(self) -> str:
        """Say what had to be assumed; "" if nothing."""
        match self.unit:
            case "image":
                return f"The log counts images and no steps; {BATCH} images are taken for a step."
            case "epoch":
                return (
                    f"A line is an epoch of unknown length: it is taken for {EPOCH} steps. What happened "
                    "within an epoch cannot be seen."
                )
            case "line":
                return "The log counts no steps; each line is taken for one."
            case _:
                return ""
