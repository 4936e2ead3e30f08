"""The queue of one model: whose rows wait, and which of them the next call takes. It reads no clock."""

import asyncio
import math
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from typing import Any, Generic, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from serving import timings
from serving.backend import DeadlineExceeded
from serving.contract import BATCH_SIZES, MAX_ROWS
from serving.observer import Observer
from serving.pace import Pace
from serving.timings import Timings

TOO_LATE = "The models had no time for this request before its deadline. Try again, or ask for fewer cards."

Inputs = tuple[NDArray[Any], ...]  # each with as many rows as the others


class Answer(Protocol):
    """What a model says of some rows."""

    @property
    def version(self) -> str:
        """The model's version."""
        ...

    def part(self, start: int, stop: int) -> Self:
        """Return what it says of some of them."""
        ...


A = TypeVar("A", bound=Answer)


class Reservation:
    """Room for some rows in a lane until a deadline. They count as waiting until they are in a call."""

    def __init__(self, lane: "Lane[Any]", rows: int, deadline: float) -> None:
        self.rows = 0
        self.deadline = deadline
        self._lane = lane
        self.hold(rows)

    def hold(self, rows: int) -> None:
        """Change how many rows it is for."""
        if rows != self.rows:
            self._lane.count(rows - self.rows)
            self.rows = rows


@dataclass(eq=False)
class Job(Generic[A]):
    """Rows of one owner, and the future of what the model says of them: parts, in the rows' order."""

    inputs: Inputs
    kinds: tuple[str, ...] | None  # the names that the labels among the inputs stand for
    since: float
    reservation: Reservation
    future: asyncio.Future[list[A]]
    timings: Timings = field(default_factory=timings.current)  # of the request that the owner answers
    began: float | None = None  # when its first rows went into a call
    taken: int = 0  # rows that are in calls or through them
    received: int = 0
    parts: dict[int, A] = field(default_factory=dict)  # by their first row

    @property
    def rows(self) -> int:
        """How many rows it has."""
        return len(self.inputs[0])

    @property
    def left(self) -> int:
        """How many rows wait for a call."""
        return self.rows - self.taken

    @cached_property
    def form(self) -> object:
        """What jobs must have in common to share a call."""
        return self.kinds, [(array.dtype, array.shape[1:]) for array in self.inputs]

    def take(self, limit: int, now: float) -> "Piece[A]":
        """Hand out its next rows."""
        self.began = now if self.began is None else self.began
        piece = Piece(self, self.taken, min(self.rows, self.taken + limit))
        self.taken = piece.stop
        self.reservation.hold(self.reservation.rows - piece.rows)
        return piece

    def receive(self, piece: "Piece[A]", part: A) -> None:
        """Take the answer to a piece; the last one completes the job."""
        self.parts[piece.start] = part
        self.received += piece.rows
        if self.received == self.rows and not self.future.done():
            self.future.set_result([self.parts[start] for start in sorted(self.parts)])

    def fail(self, error: Exception) -> None:
        """Answer with an error, unless it has its answer already or nobody waits for it."""
        if not self.future.done():
            self.future.set_exception(error)

    def expire(self) -> None:
        """Fail because the deadline has passed."""
        self.fail(DeadlineExceeded(TOO_LATE))

    @property
    def expired(self) -> bool:
        """Whether it failed because the deadline had passed."""
        ended = self.future.done() and not self.future.cancelled()
        return ended and isinstance(self.future.exception(), DeadlineExceeded)

    def wanted(self, now: float) -> bool:
        """Whether somebody still waits. A job whose deadline has passed fails here."""
        if self.reservation.deadline <= now:
            self.expire()
        return not self.future.done()


@dataclass(frozen=True, eq=False)
class Piece(Generic[A]):
    """Rows of one job in one call."""

    job: Job[A]
    start: int
    stop: int

    @property
    def rows(self) -> int:
        """How many they are."""
        return self.stop - self.start


@dataclass(frozen=True, eq=False)
class Batch(Generic[A]):
    """The rows of one call, at most MAX_ROWS, of one form; no two pieces are of the same job."""

    pieces: Sequence[Piece[A]]

    @cached_property
    def rows(self) -> int:
        """How many rows somebody asked for."""
        return sum(piece.rows for piece in self.pieces)

    @cached_property
    def size(self) -> int:
        """How many rows the call has."""
        return batch_size(self.rows)

    @property
    def kinds(self) -> tuple[str, ...] | None:
        """The names that the labels stand for."""
        return self.pieces[0].job.kinds

    @property
    def deadline(self) -> float:
        """When the last owner leaves."""
        return max(piece.job.reservation.deadline for piece in self.pieces)

    def inputs(self) -> Inputs:
        """Return the call's arrays, padded by repeating the last row."""
        columns = zip(*(self.rows_of(piece) for piece in self.pieces), strict=True)
        return tuple(padded(list(arrays), self.size - self.rows) for arrays in columns)

    def rows_of(self, piece: Piece[A]) -> Inputs:
        """Return a piece of each of its job's arrays."""
        return tuple(array[piece.start : piece.stop] for array in piece.job.inputs)

    def deliver(self, answer: A) -> None:
        """Give each owner the answers to its own rows."""
        start = 0
        for piece in self.pieces:
            piece.job.receive(piece, answer.part(start, start + piece.rows))
            start += piece.rows

    def fail(self, error: Exception) -> None:
        """Fail every owner's job."""
        for piece in self.pieces:
            piece.job.fail(error)

    def halves(self, now: float) -> "list[Batch[A]]":
        """Return two batches of half the owners each, without those who have left; empty ones are dropped."""
        middle = (len(self.pieces) + 1) // 2
        halves = (self.pieces[:middle], self.pieces[middle:])
        wanted = [[piece for piece in half if piece.job.wanted(now)] for half in halves]
        return [Batch(pieces) for pieces in wanted if pieces]


class Lane(Generic[A]):
    """First come, first served; a job that does not fit into one call goes on with the next."""

    def __init__(
        self,
        model: str,
        send: Callable[[Batch[A]], Awaitable[A]],
        joined: Callable[[Sequence[A]], A],
        observer: Observer,
    ) -> None:
        """Take a model's name, how a call is made, how answers are joined, and who is told."""
        self.model = model
        self.send = send
        self.joined = joined
        self.observer = observer
        self.pace = Pace()
        self.waiting = 0  # rows admitted and in no call; some may not have arrived yet
        self.in_flight = 0  # rows in calls
        self.calls = 0  # under way
        self.jobs: deque[Job[A]] = deque()

    @property
    def ahead(self) -> int:
        """How many rows are ahead of a newcomer."""
        return self.waiting + self.in_flight

    def count(self, rows: int) -> None:
        """Count more rows as waiting, or fewer."""
        self.waiting += rows
        self.observer.waiting(self.model, self.waiting)

    def put(self, job: Job[A]) -> None:
        """Let a job wait for its turn."""
        self.jobs.append(job)

    def remove(self, job: Job[A]) -> None:
        """Take out those of a job's rows that are in no call."""
        if job in self.jobs:
            self.jobs.remove(job)

    def take(self, now: float, calls: int = 1) -> Batch[A] | None:
        """Return the next call's rows, None if there are none; jobs nobody waits for are dropped.

        If several calls can begin at once, this one takes its share of what waits.
        """
        self.jobs = deque(job for job in self.jobs if job.wanted(now))
        if not self.jobs:
            return None
        alike = self._alike()
        limit = rows_to_take(math.ceil(sum(job.left for job in alike) / calls), self.pace)
        pieces: list[Piece[A]] = []
        for job in alike:
            if limit > 0:
                pieces.append(job.take(limit, now))
                limit -= pieces[-1].rows
        while self.jobs and not self.jobs[0].left:
            self.jobs.popleft()
        return Batch(pieces)

    def _alike(self) -> list[Job[A]]:
        """Return the first jobs that can share a call; each has at least one row."""
        alike: list[Job[A]] = []
        for job in islice(self.jobs, MAX_ROWS):
            if job.form != self.jobs[0].form:
                break
            alike.append(job)
        return alike


def batch_size(rows: int) -> int:
    """Return the smallest batch size for some rows, at most MAX_ROWS."""
    return next(size for size in BATCH_SIZES if size >= rows)


def rows_to_take(waiting: int, pace: Pace) -> int:
    """Return how many of the waiting rows the next call takes.

    It takes all that fit, unless padding to the next batch size takes longer than a second call for the rest.
    """
    rows = min(waiting, MAX_ROWS)
    below = max(size for size in BATCH_SIZES if size <= rows)
    together = pace.seconds(batch_size(rows))
    apart = pace.seconds(below) + pace.seconds(batch_size(max(1, rows - below)))
    return below if apart < together else rows


def padded(arrays: list[NDArray[Any]], padding: int) -> NDArray[Any]:
    """Concatenate arrays and repeat the last row as padding; a single array without padding is not copied."""
    if len(arrays) == 1 and not padding:
        return arrays[0]
    return np.concatenate([*arrays, *[arrays[-1][-1:]] * padding])
