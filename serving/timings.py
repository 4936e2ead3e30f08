"""Where the current request's time goes: for Server-Timing, the log, the metrics and the traces."""

import time
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Literal, get_args

from opentelemetry.trace import Span, Tracer

Stage = Literal["queue", "decode", "infer", "encode"]
STAGES: tuple[Stage, ...] = get_args(Stage)


@dataclass
class Timings:
    """What was done for one request, and how long each stage took, in seconds."""

    seconds: dict[Stage, float] = field(default_factory=dict[Stage, float])
    cards: int = 0
    problem: str = ""
    """The name of the problem that it was answered with, if it was."""
    tracer: Tracer | None = None
    """Also draws each stage as a span, under the request's own; both None where it is not traced."""
    span: Span | None = None

    def add(self, stage: Stage, seconds: float) -> None:
        """Add time to a stage."""
        self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds

    def passed(self, stage: Stage, seconds: float, before: float = 0.0) -> None:
        """Add a stage that ended `before` seconds ago, and draw it as a span."""
        self.add(stage, seconds)
        if self.tracer is not None:
            end = time.time_ns() - round(before * 1e9)
            self.tracer.start_span(stage, start_time=end - round(seconds * 1e9)).end(end)

    def child_span(self, name: str) -> AbstractContextManager[object]:
        """Draw what happens inside as a span, where the request is traced."""
        if self.tracer is None:
            return nullcontext()
        # What an exception says was not written for whoever reads traces.
        return self.tracer.start_as_current_span(name, record_exception=False, set_status_on_exception=False)

    def server_timing(self) -> str:
        """Return the value of the Server-Timing header: milliseconds of each stage."""
        return ", ".join(
            f"{stage};dur={1000 * self.seconds[stage]:.2f}" for stage in STAGES if stage in self.seconds
        )


_current: ContextVar[Timings] = ContextVar("timings")


def begin(timings: Timings) -> None:
    """Make these the timings of everything that the current task does from now on."""
    _current.set(timings)


def current() -> Timings:
    """Return the timings of the current request; outside of one, some that nobody reads."""
    return _current.get(None) or Timings()


@contextmanager
def stage(name: Stage) -> Generator[None]:
    """Time what happens inside as a stage of the current request, even if it fails."""
    timings = current()
    began = time.perf_counter()
    try:
        with timings.child_span(name):
            yield
    finally:
        timings.add(name, time.perf_counter() - began)
