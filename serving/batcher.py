"""The batcher: turns many concurrent requests into few, full model calls, and hands each its own answer.

It stands in front of any backend and never waits for a batch to fill: a call starts as soon as a slot is
free, and batches form because slots are busy.
"""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from contextvars import Context
from typing import Any, cast

from serving import tracing
from serving.backend import (
    REPLACED,
    Backend,
    BackendError,
    BadAnswer,
    Cards,
    DeadlineExceeded,
    Draining,
    Generated,
    Labels,
    ModelInfo,
    Noise,
    NotReady,
    Overloaded,
    Scored,
)
from serving.contract import GENERATE, MAX_ROWS, SCORE
from serving.lane import TOO_LATE, A, Batch, Inputs, Job, Lane, Reservation
from serving.observer import Observer, Reason

Draw = Callable[[Noise, Labels | None, tuple[str, ...]], Awaitable[Generated]]
"""Draws a card for each row of noise, given also the labels and the ModelInfo.classes that they index."""

Judge = Callable[[Cards], Awaitable[Scored]]
"""Judges each card."""

log = logging.getLogger(__name__)

STOPPING = "The gateway is stopping. Try again in a few seconds."
BROKEN = "The gateway's queue has failed and the gateway is stopping. Its log has the reason."
BUSY = "There is more work than can be done in time. Try again later, or ask for fewer cards at once."


class Batcher:
    """Admits rows, has the models draw or judge them in shared calls, and answers each owner.

    A model's rows wait in a lane; the lanes take turns. Rows of clients that have left are never computed.
    """

    def __init__(
        self,
        models: Backend,
        *,
        max_rows: int = 1024,
        max_wait: float = math.inf,
        slots: int = 1,
        observer: Observer | None = None,
        on_failure: Callable[[], None] | None = None,
    ) -> None:
        """Take a backend, which is closed with the batcher.

        Args:
            models: What the calls go to.
            max_rows: Most rows that may wait in a lane.
            max_wait: Longest expected wait, in seconds, whatever deadline a request has.
            slots: Most concurrent calls.
            observer: Is told what happens.
            on_failure: Called once if the batcher itself fails; the process should then end.
        """
        self._models = models
        self._max_rows = max_rows
        self._max_wait = max_wait
        self._slots = slots
        self._observer = observer or Observer()
        self._on_failure = on_failure
        self._generate = Lane(GENERATE.model, self._send_noise, Generated.joined, self._observer)
        self._score = Lane(SCORE.model, self._send_cards, Scored.joined, self._observer)
        self._turns: list[Lane[Any]] = [self._generate, self._score]  # the next one first
        self._workers: set[asyncio.Task[None]] = set()
        self._info: ModelInfo | None = None  # when the models were last described
        self._end: BackendError | None = None  # why nothing more is done

    async def info(self, *, deadline: float | None = None) -> ModelInfo:
        """Describe the models, as their backend does. Raises NotReady where the batcher itself has failed."""
        if self._end is not None:
            raise self._end
        try:
            async with asyncio.timeout_at(deadline):
                info = await self._models.info()
        except TimeoutError:
            raise DeadlineExceeded(TOO_LATE) from None
        if info is not self._info:
            if self._info and info.version != self._info.version:
                log.info("The models of version %s answer, after %s", info.version, self._info.version)
            self._info = info
            self._observer.described(info)
        return info

    @contextmanager
    def drawing(self, rows: int, deadline: float, picture_wait: float = 0.0) -> Generator[Draw]:
        """Reserve room for rows before the work on them begins, and yield what draws them.

        picture_wait: seconds that the request will also wait for a thread to write its pictures.
        Raises Overloaded where there is no room or too little time before the deadline.
        """
        with self._admitted(self._generate, rows, deadline, picture_wait) as reservation:

            async def draw(noise: Noise, labels: Labels | None, kinds: tuple[str, ...]) -> Generated:
                if labels is None:
                    return await self._ask(self._generate, reservation, (noise,))
                return await self._ask(self._generate, reservation, (noise, labels), kinds)

            yield draw

    @contextmanager
    def judging(self, rows: int, deadline: float, picture_wait: float = 0.0) -> Generator[Judge]:
        """Reserve room for cards before they are decoded, and yield what judges them.

        picture_wait: seconds that the request will also wait for a thread to read its pictures.
        Raises Overloaded where there is no room or too little time before the deadline.
        """
        with self._admitted(self._score, rows, deadline, picture_wait) as reservation:

            async def judge(cards: Cards) -> Scored:
                return await self._ask(self._score, reservation, (cards,))

            yield judge

    def refuse_if_full(self, model: str, seconds: float, picture_wait: float = 0.0) -> None:
        """Raise what admitting a single row would raise, for a client that waits so many seconds."""
        self._check(next(lane for lane in self._turns if lane.model == model), 1, seconds, picture_wait)

    async def close(self) -> None:
        """Stop, and tell whoever still waits. Calls under way are left to the backend."""
        self._stop(Draining(STOPPING))
        workers = list(self._workers)
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
        await self._models.close()

    @contextmanager
    def _admitted(
        self, lane: Lane[Any], rows: int, deadline: float, picture_wait: float
    ) -> Generator[Reservation]:
        """Count rows as waiting until they are in a call, or nobody waits for them any more."""
        self._check(lane, rows, deadline - asyncio.get_running_loop().time(), picture_wait)
        reservation = Reservation(lane, rows, deadline)
        try:
            yield reservation
        finally:
            reservation.hold(0)

    def _check(self, lane: Lane[Any], rows: int, seconds: float, picture_wait: float) -> None:
        """Raise Overloaded if rows find no room or wait too long, DeadlineExceeded if no time is left."""
        if self._end is not None:
            raise self._end
        reason: Reason | None = None
        if lane.waiting + rows > self._max_rows:
            reason = "full"
        elif seconds <= 0:
            self._observer.rejected(lane.model, "late")
            raise DeadlineExceeded(TOO_LATE)
        else:
            own = self._wait(lane, rows) if lane.ahead else 0.0  # with nobody ahead, only trying tells
            spare = min(seconds - own, self._max_wait - self._wait(lane, 0))
            reason = "late" if spare < 0 else "pixels" if spare < picture_wait else None
        if reason:
            self._observer.rejected(lane.model, reason)
            raise Overloaded(BUSY, self._wait(lane, 0) + picture_wait)

    def _wait(self, lane: Lane[Any], rows: int) -> float:
        """Predict the seconds until some more rows would be done. The other lane has every second turn."""
        ahead = lane.ahead + rows
        calls = math.ceil(ahead / MAX_ROWS)
        seconds = lane.pace.seconds(ahead, calls)
        for other in self._turns:
            if other is not lane:
                calls_between = min(calls, math.ceil(other.ahead / MAX_ROWS))
                seconds += other.pace.seconds(calls_between * MAX_ROWS, calls_between)
        return seconds / self._slots

    async def _ask(
        self, lane: Lane[A], reservation: Reservation, inputs: Inputs, kinds: tuple[str, ...] | None = None
    ) -> A:
        """Have rows computed, all by one version of the model."""
        if not len(inputs[0]):
            raise ValueError("no rows to compute")
        while True:
            parts = await self._parts(lane, reservation, inputs, kinds)
            if len({part.version for part in parts}) == 1:
                return parts[0] if len(parts) == 1 else lane.joined(parts)

    async def _parts(
        self, lane: Lane[A], reservation: Reservation, inputs: Inputs, kinds: tuple[str, ...] | None
    ) -> list[A]:
        """Wait for the answers to all rows, in order; leaving takes the rows out of the lane."""
        if self._end is not None:
            raise self._end
        loop = asyncio.get_running_loop()
        reservation.hold(len(inputs[0]))
        job = Job[A](inputs, kinds, loop.time(), reservation, loop.create_future())
        lane.put(job)
        self._wake()
        timer = loop.call_at(reservation.deadline, job.expire)
        try:
            return await job.future
        finally:
            timer.cancel()
            now = loop.time()
            began = now if job.began is None else job.began
            self._observer.answered(job.rows, began - job.since, now - began)
            if job.left:
                lane.remove(job)
                self._observer.abandoned(lane.model, job.left, "late" if job.expired else "gone")

    def _wake(self) -> None:
        """Start a worker if a slot is free."""
        if len(self._workers) < self._slots:
            # A context of its own: not that of the request which happens to come first.
            worker = asyncio.create_task(self._work(), context=Context())
            self._workers.add(worker)
            worker.add_done_callback(self._worker_ended)

    async def _work(self) -> None:
        """Make calls while rows wait; the first takes its share where other slots are free too."""
        share = self._slots - sum(lane.calls for lane in self._turns)
        while turn := self._next(share):
            share = 1  # by now the other slots have workers of their own
            lane, batch = turn
            try:
                await self._run(lane, batch)
            except BaseException:  # the batcher was closed, or has a bug
                batch.fail(self._end or NotReady(BROKEN))
                raise
        # Here and not in a callback: a row that comes before that ran needs a new worker.
        self._workers.remove(cast(asyncio.Task[None], asyncio.current_task()))

    def _next(self, share: int) -> tuple[Lane[Any], Batch[Any]] | None:
        """Return the next call of the lane whose turn it is, or of the other one.

        If only one lane has rows, they are divided among `share` calls, of which this is the first.
        """
        now = asyncio.get_running_loop().time()
        both = all(lane.jobs for lane in self._turns)
        for lane in self._turns:
            if batch := lane.take(now, 1 if both else share):
                self._turns.sort(key=lambda other: other is lane)
                if any(other.jobs for other in self._turns):
                    self._wake()
                return lane, batch
        return None

    async def _run(self, lane: Lane[A], batch: Batch[A]) -> None:
        """Make a call and answer the owners of its rows."""
        try:
            batch.deliver(await self._call(lane, batch))
        except BadAnswer as error:
            await self._isolate(lane, batch, error)
        except Exception as error:
            batch.fail(error)

    async def _isolate(self, lane: Lane[A], batch: Batch[A], error: BadAnswer) -> None:
        """Halve a call that failed until the owner whose rows are at fault is alone.

        If both halves fail, no single owner is at fault, and all of them fail.
        """
        failed = [(batch, error)]
        while len(failed) == 1 and len(failed[0][0].pieces) > 1:
            whole, _ = failed.pop()
            self._observer.isolated(lane.model)
            for half in whole.halves(asyncio.get_running_loop().time()):
                try:
                    half.deliver(await self._call(lane, half))
                except BadAnswer as again:
                    failed.append((half, again))
                except Exception as other:
                    half.fail(other)
        for part, reason in failed:
            part.fail(reason)

    async def _call(self, lane: Lane[A], batch: Batch[A]) -> A:
        """Make one call, and learn from it how long calls take."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        self._observer.dispatched(lane.model, batch.rows, batch.size - batch.rows)
        lane.in_flight += batch.size
        lane.calls += 1
        try:
            with tracing.call_span((piece.job.timings for piece in batch.pieces), lane.model, batch.rows):
                answer = await lane.send(batch)
        except DeadlineExceeded:
            lane.pace.learn(batch.size, loop.time() - began)
            raise
        finally:
            lane.in_flight -= batch.size
            lane.calls -= 1
            self._observer.called(lane.model, loop.time() - began)
        lane.pace.learn(batch.size, loop.time() - began)
        return answer

    async def _send_noise(self, batch: Batch[Generated]) -> Generated:
        """Have a batch drawn, unless its labels refer to kinds that the models no longer have."""
        if batch.kinds is not None and (await self._models.info()).classes != batch.kinds:
            raise NotReady(REPLACED)
        noise, *labels = batch.inputs()
        return await self._models.generate(noise, labels[0] if labels else None, deadline=batch.deadline)

    async def _send_cards(self, batch: Batch[Scored]) -> Scored:
        """Have a batch judged."""
        (cards,) = batch.inputs()
        return await self._models.score(cards, deadline=batch.deadline)

    def _worker_ended(self, worker: asyncio.Task[None]) -> None:
        """Stop after a worker failed, which only a bug in the batcher can cause."""
        error = None if worker.cancelled() else worker.exception()
        if error is None:
            return
        log.critical("The batcher failed", exc_info=error)
        self._stop(NotReady(BROKEN))
        if self._on_failure:
            self._on_failure()

    def _stop(self, reason: BackendError) -> None:
        """Admit nothing more, and tell whoever waits."""
        self._end = self._end or reason
        for lane in self._turns:
            for job in lane.jobs:
                job.fail(reason)
