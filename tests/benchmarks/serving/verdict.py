"""What Holofoil reached of its goals: medians of the ratios within each round."""

import statistics
from collections.abc import Callable
from dataclasses import dataclass

from tests.benchmarks.serving.contenders import CONTENDERS, FORMATS
from tests.benchmarks.serving.entrants import Asked, Entrant, Turn

FULL_BUCKETS, ONE_A_CALL = "raw, full buckets", "raw, one a call"


@dataclass(frozen=True)
class Goal:
    """A ratio to be reached, and what it was in each round."""

    words: str
    ratios: list[float]
    reached: Callable[[float], bool]

    @property
    def median(self) -> float:
        return statistics.median(self.ratios)

    def __str__(self) -> str:
        said = "reached" if self.reached(self.median) else "MISSED"
        return (
            f"{self.words:<66} {self.median:5.2f} ({min(self.ratios):.2f} to {max(self.ratios):.2f})  {said}"
        )


def tell(entrants: list[Entrant], concurrency: tuple[int, ...]) -> int:
    """Print each goal; return 1 if one was missed."""
    ours = [one for one in entrants if one.name.startswith("holofoil")]
    others = [one for one in entrants if one.name in CONTENDERS and one not in ours]
    raw = {one.name: one for one in entrants if one.name not in CONTENDERS}
    goals: list[Goal] = []
    for format in FORMATS:
        for mine in ours:
            loads = [Asked(format, concurrency=number) for number in concurrency]
            if others:
                goals += [first(mine, others, asked) for asked in loads]
            if raw:
                goals += beside(mine, raw, alone=loads[0], full=loads[-1])
    print("", "Ratios: median of the rounds (least to most)", *goals, sep="\n")
    return int(not all(goal.reached(goal.median) for goal in goals))


def first(mine: Entrant, others: list[Entrant], asked: Asked) -> Goal:
    """To be first in a row is to draw as many cards as the best of the others."""
    rounds = zip(*(one.turns[asked] for one in [mine, *others]), strict=True)
    ratios = [turn.rate / max(other.rate for other in rest) for turn, *rest in rounds]
    return Goal(f"{mine.name}, {asked}: images/s to the best other's", ratios, lambda ratio: ratio >= 1)


def beside(mine: Entrant, raw: dict[str, Entrant], alone: Asked, full: Asked) -> list[Goal]:
    """What a gateway may take of what its models can give."""
    buckets, single = raw[FULL_BUCKETS], raw[ONE_A_CALL]
    return [
        Goal(
            f"{mine.name}, {full}: images/s to raw in full buckets, 0.8 or more",
            ratios(mine, buckets, full, lambda turn: turn.rate),
            lambda ratio: ratio >= 0.8,
        ),
        Goal(
            f"{mine.name}, {full}: images/s to raw one a call, 2 or more",
            ratios(mine, single, full, lambda turn: turn.rate),
            lambda ratio: ratio >= 2,
        ),
        Goal(
            f"{mine.name}, {alone}: p50 to raw one a call, 1.5 or less",
            ratios(mine, single, alone, lambda turn: turn.p50),
            lambda ratio: ratio <= 1.5,
        ),
    ]


def ratios(mine: Entrant, other: Entrant, asked: Asked, figure: Callable[[Turn], float]) -> list[float]:
    """Return a figure's ratio in each round."""
    pairs = zip(mine.turns[asked], other.turns[asked], strict=True)
    return [figure(turn) / figure(theirs) for turn, theirs in pairs]
