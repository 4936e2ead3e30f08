"""Who takes turns with a load: what was asked, and what came of it."""

import statistics
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import psutil

from tests.benchmarks.serving import processes
from tests.benchmarks.serving.contenders import Target
from tests.benchmarks.serving.load import Load, closed, opened, percentile
from tests.benchmarks.serving.raw import Raw

WARM_UP = 1 / 8
"""Of a turn's seconds, before they count: connections are made, and caches are the contender's own again."""


@dataclass(frozen=True)
class Asked:
    """One line of the table: a closed loop, or an open one where there is a rate."""

    format: str
    concurrency: int = 0
    rate: float = 0.0  # requests a second

    def __str__(self) -> str:
        return f"{self.format}, {self.rate:g}/s" if self.rate else f"{self.format}, {self.concurrency}"


@dataclass(frozen=True)
class Turn:
    """What one contender did with one load."""

    rate: float  # images a second
    p50: float  # ms
    p99: float
    cpu: float  # seconds for 1,000 images
    memory: float  # MB
    failures: str  # how many had another status than 200, or none


@dataclass(frozen=True)
class Entrant:
    """A contender that runs, and its turns so far."""

    name: str
    roots: list[psutil.Process]
    load: Callable[[Asked, float], Awaitable[Load]]  # for so many seconds
    turns: dict[Asked, list[Turn]] = field(default_factory=dict[Asked, list[Turn]])

    async def take(self, asked: Asked, seconds: float) -> None:
        """Take a turn."""
        await self.load(asked, seconds * WARM_UP)
        before = processes.cost(*self.roots)
        load = await self.load(asked, seconds)
        after = processes.cost(*self.roots)
        spent = 1000 * (after.cpu - before.cpu) / max(1, load.images)
        p50, p99 = percentile(load.answered, 0.5), percentile(load.answered, 0.99)
        turn = Turn(load.rate, p50, p99, spent, after.memory, load.failures)
        self.turns.setdefault(asked, []).append(turn)

    def median(self, asked: Asked, figure: str) -> float:
        """Return the median of a figure over the turns with one load."""
        return statistics.median(getattr(turn, figure) for turn in self.turns[asked])


def server(name: str, target: Target) -> Entrant:
    """Enter a server of cards over HTTP, for any load."""

    async def load(asked: Asked, seconds: float) -> Load:
        ask = target.asking(asked.format)
        if asked.rate:
            return await opened(ask, asked.rate, seconds)
        return await closed(ask, asked.concurrency, seconds)

    return Entrant(name, target.roots, load)


def model_server(name: str, client: Raw, process: psutil.Process, most: int) -> Entrant:
    """Enter TF Serving's protocol for closed loops, so many images a call at most, whatever the format."""

    async def load(asked: Asked, seconds: float) -> Load:
        rows = min(most, asked.concurrency)

        async def ask(seed: int) -> int:
            await client.draw(seed, rows)
            return 200

        load = await closed(ask, asked.concurrency // rows, seconds)
        load.images_per_answer = rows
        return load

    return Entrant(name, [process], load)
