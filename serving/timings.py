"""What the current request's time goes into: for Server-Timing, the log, the metrics and the traces."""

import time
from collections.abc import Generator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Literal, get_args

from opentelemetry.trace import Tracer

Stage = Literal["queue", "decode", "infer", "encode"]
STAGES: tuple[Stage, ...] = get_args(Stage)


@dataclass
class Timings:
    """What one request had done for it, and how long each stage took, in seconds."""

    seconds: dict[Stage, float] = field(default_factory=dict[Stage, float])
    cards: int = 0
    tracer: Tracer | None = None
    """Also draws each stage as a span; None where requests are not traced."""

    def add(self, stage: Stage, seconds: float) -> None:
        """Count time for a stage; one that is met twice adds up."""
        self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds

    def server_timing(self) -> str:
        """Return the value of the Server-Timing header: milliseconds of each stage that was met."""
        return ", ".join(
            f"{stage};dur={1000 * self.seconds[stage]:.2f}" for stage in STAGES if stage in self.seconds
        )


_current: ContextVar[Timings] = ContextVar("timings")


def begin(timings: Timings) -> None:
    """Make these the timings of everything that the current task goes on to do."""
    _current.set(timings)


def current() -> Timings:
    """Return the timings of the request that is worked on; outside of one, some that nobody reads."""
    return _current.get(None) or Timings()


@contextmanager
def stage(name: Stage) -> Generator[None]:
    """Count what happens inside as a stage of the current request, also when it fails."""
    timings = current()
    span = timings.tracer.start_as_current_span(name) if timings.tracer else nullcontext()
    began = time.perf_counter()
    try:
        with span:
            yield
    finally:
        timings.add(name, time.perf_counter() - began)
