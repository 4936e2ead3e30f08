"""What a doctor remembers of a log: the last values of each signal, their best, and nothing more."""

import math
from collections import deque
from collections.abc import Mapping
from typing import NamedTuple

from training.doctor.facts import Facts

KEPT = 1024
"""Values of a signal that are remembered."""

NAMES = (
    "d_loss g_loss penalty real_accuracy fake_accuracy relativistic_accuracy "  # of the game, by every line
    "real_logit fake_logit d_gradient g_gradient d_moved g_moved "
    "real_low real_high real_spread fake_spread "  # of pixels in [-1, 1]
    "held_logit r_v augment "  # now and then
    "variety least_variety similarity nyquist copy_rate "
    "leak_border leak_grey_edges leak_grey_holes leak_brightness leak_saturation leak_contrast "
    "kid coverage "
    "images_per_second input_wait"
)
SIGNALS = frozenset(NAMES.split())
"""Names of what a line may hold, beside "step" and "images". A log needs none of them."""


class Heard(NamedTuple):
    """One value of a signal."""

    step: float
    value: float


class History:
    """The lines of one log so far; its memory is bounded, however long the log is."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self.step = 0.0
        self.images: float | None = None
        self.broken: list[str] = []
        """Signals of the last line that are no numbers."""
        self.signals: dict[str, deque[Heard]] = {}
        self.lowest: dict[str, Heard] = {}
        self.highest: dict[str, Heard] = {}
        self.counts: dict[str, int] = {}
        """How many values of each signal were heard."""

    def add(self, line: Mapping[str, float]) -> None:
        """Remember a line. Without "step" it comes one step after the last, or where "images" says."""
        batch = self.facts.batch
        images = line.get("images")
        guess = images / batch if images is not None and batch else self.step + 1
        self.step = float(line.get("step", guess))
        self.images = images if images is not None else self.step * batch if batch else None
        known = {name: float(value) for name, value in line.items() if name in SIGNALS}
        self.broken = [name for name, value in known.items() if not math.isfinite(value)]
        for name, value in known.items():
            if math.isfinite(value):
                self.remember(name, Heard(self.step, value))

    def remember(self, name: str, heard: Heard) -> None:
        """Keep one value, and whether it is the best."""
        self.signals.setdefault(name, deque(maxlen=KEPT)).append(heard)
        self.counts[name] = self.counts.get(name, 0) + 1
        if name not in self.lowest or heard.value < self.lowest[name].value:
            self.lowest[name] = heard
        if name not in self.highest or heard.value > self.highest[name].value:
            self.highest[name] = heard

    def last(self, name: str) -> float | None:
        """Return the newest value of a signal, however old; None if it was never heard."""
        return self.signals[name][-1].value if name in self.signals else None

    def remembered(self, name: str) -> list[float]:
        """Return all values of a signal that are remembered, oldest first."""
        return [heard.value for heard in self.signals.get(name, ())]

    def recent(self, name: str, steps: float = 0, lines: int = 1) -> list[float] | None:
        """Return the fewest newest values that span these steps and lines, oldest first; None if too few.

        A line tells of the steps since the line before it. A log too dense to be remembered for so long
        gives all that is remembered.
        """
        heard = self.signals.get(name, ())
        found: list[float] = []
        for earlier in reversed(heard):
            if len(found) >= lines and self.step - earlier.step >= steps:
                return found[::-1]
            found.append(earlier.value)
        from_start = len(found) == self.counts.get(name, 0) and self.step >= steps
        enough = len(found) >= lines and (from_start or len(found) == KEPT)
        return found[::-1] if enough else None

    @property
    def where(self) -> str:
        """Say where the log stands."""
        if self.images is not None:
            return f"image {self.images:,.0f}"
        return f"step {self.step:,.0f}"
