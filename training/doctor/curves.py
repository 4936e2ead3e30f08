"""The curves of a log for a plot, thinned so that memory stays bounded."""

import math
from collections.abc import Mapping

POINTS = 4000
"""Most points of a curve; when there are more, every second is dropped."""


class Curve:
    """One signal over the steps."""

    def __init__(self) -> None:
        self.points: list[tuple[float, float]] = []
        self.heard, self.every = 0, 1

    def add(self, step: float, value: float) -> None:
        """Keep a point if it is its turn; what is no number leaves a gap."""
        if self.heard % self.every == 0:
            self.points.append((step, value if math.isfinite(value) else math.nan))
        self.heard += 1
        if len(self.points) > POINTS:
            self.points = self.points[::2]
            self.every *= 2


class Curves:
    """All signals of a log."""

    def __init__(self) -> None:
        self.of: dict[str, Curve] = {}
        self.last = 0.0

    def add(self, step: float, line: Mapping[str, float]) -> None:
        """Add the signals of a line."""
        self.last = max(self.last, step)
        for name, value in line.items():
            self.of.setdefault(name, Curve()).add(step, value)
