"""The curves of a log, for a plot."""

from collections.abc import Mapping

from training.curve import Curve


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
