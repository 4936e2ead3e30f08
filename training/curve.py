"""A signal over a run in a bounded number of points, made while its log is read: for reports and plots."""

import math
from typing import NamedTuple

MOST = 1000
"""Points of a curve; longer ones have every two neighbours made one, as often as it takes."""


class Point(NamedTuple):
    """One or more neighbouring values of a signal; beside others, what is no number does not count."""

    at: float  # step or images of the last of them
    values: int
    mean: float
    low: float
    high: float


def joined(left: Point, right: Point) -> Point:
    """Make two neighbours one."""
    if math.isnan(left.mean) or math.isnan(right.mean):
        return (right if math.isnan(left.mean) else left)._replace(at=right.at)
    values = left.values + right.values
    mean = (left.values * left.mean + right.values * right.mean) / values
    return Point(right.at, values, mean, min(left.low, right.low), max(left.high, right.high))


class Curve:
    """A signal in no more than MOST points, however long the log is; no value is passed over."""

    def __init__(self) -> None:
        self.points: list[Point] = []
        self.size = 1  # values in a point that is full
        self.room = 0  # values that the last point still takes

    def add(self, at: float, value: float) -> None:
        """Take the next value; what is no number leaves a gap."""
        value = value if math.isfinite(value) else math.nan
        point = Point(at, 1, value, value, value)
        if self.room:
            self.room -= 1
            self.points[-1] = joined(self.points[-1], point)
            return
        if len(self.points) == MOST:
            pairs = zip(self.points[::2], self.points[1::2], strict=True)
            self.points = [joined(*pair) for pair in pairs]
            self.size *= 2
        self.points.append(point)
        self.room = self.size - 1
