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
TURNS = 0.2
"""Of the steps behind running means, how many turn up after down or down after up: of noise 2 in 3, of a
smooth curve none."""


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
    step: float = math.nan
    """The newest number if the column is means since the start."""
    moves: int = 0
    """Changes from one such step to the next that rounding cannot explain."""
    turns: int = 0
    """Of them, those in the other direction than the one before."""
    rose: bool = False

    def add(self, value: float) -> None:
        """Look at one more number; what is none is not counted."""
        if not math.isfinite(value):
            return
        if not self.count:
            self.first = self.step = value
        else:
            # A mean of the first n of numbers that are not negative falls to no less than (n - 1) / n.
            n = self.count + 1
            step = n * value - self.count * self.last
            self.restless |= step < -ROUNDING * n
            if abs(step - self.step) > 2 * ROUNDING * n:
                self.moves += 1
                self.turns += self.rose != (step > self.step)
                self.rose = step > self.step
            self.step = step
            self.falls += value < self.last
            self.repeats += value == self.last
        self.count += 1
        self.last, self.low, self.high = value, min(self.low, value), max(self.high, value)
        self.whole &= value == int(value)

    @property
    def counts(self) -> bool:
        """Tell whether it only rises, as steps, epochs and times do."""
        return self.high > self.low and not self.falls

    @property
    def is_running_mean(self) -> bool:
        """Tell whether these are means since the start: they move less and less, and the steps are noise."""
        moves = self.high - self.low > 0.05 * abs(self.high)
        noise = self.turns > TURNS * self.moves
        return self.count >= MEANS and self.low >= 0 and moves and noise and not (self.restless or self.whole)


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
