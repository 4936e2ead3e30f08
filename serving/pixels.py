"""The threads that decode and encode pictures, and how long a newcomer would wait for one."""

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar, TypeVarTuple

from serving.cores import step_back
from serving.pace import Pace

Result = TypeVar("Result")
Arguments = TypeVarTuple("Arguments")


@dataclass
class Queue:
    """Work of one kind that waits for a thread or runs on one: how many jobs, how large, and how fast."""

    jobs: int = 0
    size: int = 0
    pace: Pace = field(default_factory=Pace)

    def add(self, jobs: int, size: int) -> None:
        """Count more jobs, or with negative numbers fewer."""
        self.jobs += jobs
        self.size += size

    @property
    def seconds(self) -> float:
        """How long all of it would take one thread."""
        return self.pace.seconds(self.size, self.jobs)


@dataclass
class Stopwatch:
    """Tells how many seconds a function took, well or not."""

    seconds: float = 0.0

    def timed(self, function: Callable[[*Arguments], Result], *arguments: *Arguments) -> Result:
        """Run a function."""
        began = time.perf_counter()
        try:
            return function(*arguments)
        finally:
            self.seconds = time.perf_counter() - began


class Pixels:
    """The threads, as many as cores: more would only crowd out the event loop.

    A model judges a card within milliseconds; decoding the photograph it comes in may take fifty. Admission
    control has to know how much of that is waiting.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads, "pixels", step_back)
        self._queues: defaultdict[str, Queue] = defaultdict(Queue)

    @property
    def wait(self) -> float:
        """Seconds after which a newcomer may expect a thread; 0 while one is free."""
        queues = self._queues.values()
        if sum(queue.jobs for queue in queues) < self._threads:
            return 0.0
        return sum(queue.seconds for queue in queues) / self._threads

    async def work(
        self, kind: str, size: int, function: Callable[[*Arguments], Result], *arguments: *Arguments
    ) -> Result:
        """Run a function on one of the threads.

        The size, in any unit, predicts how long a job takes among those of its kind. If the client leaves, a
        job that waits is dropped; one that runs keeps its thread to the end.
        """
        queue = self._queues[kind]
        queue.add(1, size)
        watch = Stopwatch()
        job = self._pool.submit(watch.timed, function, *arguments)
        try:
            # anyio's to_thread costs 160 µs of CPU more, as much as two JPEGs.
            result = await asyncio.wrap_future(job)
        except Exception:
            # A file that is refused at once tells nothing of others; one that fails late has taken its time.
            if watch.seconds > queue.pace.seconds(size):
                queue.pace.learn(size, watch.seconds)
            raise
        finally:
            if job.running():  # for a client that has left
                job.add_done_callback(on_loop(queue.add, -1, -size))
            else:
                queue.add(-1, -size)
        queue.pace.learn(size, watch.seconds)
        return result

    def close(self) -> None:
        """End the threads; jobs that have not begun are dropped."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def on_loop(function: Callable[[*Arguments], object], *arguments: *Arguments) -> Callable[[object], None]:
    """Return a callback, for any thread, that has the event loop call a function if the loop still runs."""
    loop = asyncio.get_running_loop()

    def call(_: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(function, *arguments)

    return call
