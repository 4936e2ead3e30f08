"""Load for a server, in closed and in open loops, and what became of it."""

import asyncio
import itertools
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field

from tests.benchmarks.serving.connection import Answer, Connection, NoAnswer

Ask = Callable[[int], Awaitable[int]]
"""Asks for the picture, or the pictures, that a seed stands for, and returns the status; raises NoAnswer."""

GIVE_UP = 15.0  # seconds after which a client believes in no answer; longer than Holofoil's own deadline


@dataclass
class Outcome:
    """What became of one request."""

    due: float  # seconds since the load began: when the request was meant to be sent
    seconds: float  # from then to the end of its answer
    status: int  # 0: no answer


@dataclass
class Load:
    """All requests of one load."""

    seconds: float = 0.0  # it lasted; an open loop's answers may come later
    outcomes: list[Outcome] = field(default_factory=list)
    images_per_answer: int = 1

    @property
    def answered(self) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if outcome.status == 200]

    @property
    def rejected(self) -> list[Outcome]:
        """Those that were told to come again."""
        return [outcome for outcome in self.outcomes if outcome.status in (429, 503)]

    @property
    def statuses(self) -> Counter[int]:
        return Counter(outcome.status for outcome in self.outcomes)

    @property
    def failures(self) -> str:
        """All that was not answered, in words."""
        statuses = sorted(self.statuses.items())
        return ", ".join(f"{count} x {status or 'nothing'}" for status, count in statuses if status != 200)

    @property
    def images(self) -> int:
        return len(self.answered) * self.images_per_answer

    @property
    def rate(self) -> float:
        """Images a second, of those that came while the load lasted."""
        in_time = sum(outcome.due + outcome.seconds <= self.seconds for outcome in self.answered)
        return in_time * self.images_per_answer / self.seconds if self.seconds else 0.0


def percentile(outcomes: list[Outcome], share: float) -> float:
    """Milliseconds within which this share of the outcomes, 0 to 1, came to an end."""
    ordered = sorted(outcome.seconds for outcome in outcomes)
    if not ordered:
        return float("nan")
    return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]


async def closed(ask: Ask, concurrency: int, seconds: float, seeds: Iterator[int] | None = None) -> Load:
    """Ask in so many places at once, in each again as soon as it was answered."""
    load, numbers = Load(), seeds or itertools.count()
    began = time.monotonic()

    async def one_after_another() -> None:
        while (due := time.monotonic() - began) < seconds:
            load.outcomes.append(await outcome(ask, next(numbers), began, due))

    async with asyncio.TaskGroup() as group:
        for _ in range(concurrency):
            group.create_task(one_after_another())
    load.seconds = time.monotonic() - began
    return load


async def opened(ask: Ask, rate: float, seconds: float, seeds: Iterator[int] | None = None) -> Load:
    """Ask so many times a second on average, whatever the server does, at moments fixed beforehand.

    They are those of a Poisson process, the same for everybody. A request that could not be sent in time,
    by whosever fault, is late from its own moment on: nothing is left out when the server stalls.
    """
    load, numbers, gaps = Load(), seeds or itertools.count(), random.Random(5)
    began = time.monotonic()
    async with asyncio.TaskGroup() as group:
        due = gaps.expovariate(rate)
        while due < seconds:
            wait = began + due - time.monotonic()
            if wait > 0:
                await asyncio.sleep(wait)

            async def once(seed: int, due: float) -> None:
                load.outcomes.append(await outcome(ask, seed, began, due))

            group.create_task(once(next(numbers), due))
            due += gaps.expovariate(rate)
    load.seconds = seconds
    return load


async def outcome(ask: Ask, seed: int, began: float, due: float) -> Outcome:
    """Ask once."""
    try:
        async with asyncio.timeout(GIVE_UP):
            status = await ask(seed)
    except (NoAnswer, TimeoutError):
        status = 0
    return Outcome(due, time.monotonic() - began - due, status)


class Pool:
    """Connections to one server, kept open between requests and used by one request at a time."""

    def __init__(self, address: str, most: int = 2048) -> None:
        self.address = address
        self.idle: list[Connection] = []
        self.places = asyncio.Semaphore(most)

    async def ask(self, request: bytes) -> Answer:
        """Send one request; return its answer. Raises NoAnswer."""
        async with self.places:
            connection = self.idle.pop() if self.idle else None
            if connection is None or connection.closed:
                connection = await Connection.open(self.address)
            try:
                answer = await connection.ask(request)
            except BaseException:
                connection.close()
                raise
            if not connection.closed:
                self.idle.append(connection)
            return answer

    def close(self) -> None:
        """Hang up."""
        for connection in self.idle:
            connection.close()
