"""One deadline for a whole blocking request: httpx limits only each of its reads and writes."""

import inspect
import math
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

DEADLINE = ContextVar("DEADLINE", default=math.inf)
"""When the request that this thread waits for has to be over, by the monotonic clock."""

TIMED = ("read", "write", "start_tls")


@contextmanager
def deadline(seconds: float) -> Generator[None]:
    """Have this thread's use of bounded connections raise TimeoutError once the seconds are over."""
    before = DEADLINE.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        DEADLINE.reset(before)


def bound_connections(event: str, info: Mapping[str, Any]) -> None:
    """Have each new connection keep to the deadline; a trace extension for httpx.

    A connection outlives the request that opened it, and keeps to the deadline of each later one too.
    """
    stream = info.get("return_value")
    if event.endswith((".connect_tcp.complete", ".start_tls.complete")):
        for name in TIMED:
            setattr(stream, name, bounded(getattr(stream, name)))


def bounded(method: Callable[P, T]) -> Callable[P, T]:
    """Have a method of a connection take the time that is left as its timeout, whatever it is given."""
    signature = inspect.signature(method)

    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        given = signature.bind(*args, **kwargs)
        given.arguments["timeout"] = seconds_left()
        return method(*given.args, **given.kwargs)

    return call


def seconds_left() -> float:
    """Return the seconds before the deadline; raises TimeoutError if none are left."""
    seconds = DEADLINE.get() - time.monotonic()
    if seconds <= 0:
        raise TimeoutError
    return seconds
