"""What the columns of a log hold, by one look through it."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from training.doctor.rows import Row

WIDTH = 1000
"""Columns that are looked at; printed sentences with numbers in them could make any number."""
MEANS = 100
"""Values after which running means can be told from others."""
ROUNDING = 1.1e-4
"""Of numbers that were printed with four decimals."""


@dataclass
class Column:
    """The numbers of one column, none of which is kept."""

    count: int = 0
    first: float = math.nan
    last: float = math.nan
    low: float = math.inf
    high: float = -math.inf
    falls: int = 0
    repeats: int = 0
    whole: bool = True
    restless: bool = False

    def add(self, value: float) -> None:
        """Look at one more number; what is none is not counted."""
        if not math.isfinite(value):
            return
        if not self.count:
            self.first = value
        else:
            # A mean of the first n of numbers that are not negative falls to no less than (n - 1) / n.
            n = self.count + 1
            self.restless |= n * value - self.count * self.last < -ROUNDING * n
            self.falls += value < self.last
            self.repeats += value == self.last
        self.count += 1
        self.last, self.low, self.high = value, min(self.low, value), max(self.high, value)
        self.whole &= value == int(value)

    @property
    def is_running_mean(self) -> bool:
        """Tell whether these are means since the start: they move by less and less."""
        moves = self.high - self.low > 0.05 * abs(self.high)
        return self.count >= MEANS and self.low >= 0 and moves and not self.restless and not self.whole


@dataclass
class Survey:
    """All columns of a log, in the order they appear."""

    columns: dict[str, Column]
    rows: int


def survey(rows: Iterable[Row]) -> Survey:
    """Look through a log once."""
    columns: dict[str, Column] = {}
    count = 0
    for row in rows:
        count += 1
        for name, value in row.items():
            if name not in columns:
                if len(columns) >= WIDTH:
                    continue
                columns[name] = Column()
            columns[name].add(value)
    return Survey(columns, count)
