"""Ends a blocking request in time: httpx times each read and each write of it, not all of them together."""

import inspect
import math
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

END = ContextVar("END", default=math.inf)
"""When the request that this thread waits for has to be over, by the monotonic clock."""

TIMED = ("read", "write", "start_tls")


@contextmanager
def within(seconds: float) -> Generator[None]:
    """Have what this thread asks of hurried connections raise TimeoutError after these seconds."""
    before = END.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        END.reset(before)


def hurry(event: str, info: Mapping[str, Any]) -> None:
    """Hurry every connection that is opened, for whichever requests it will carry; a trace for httpx."""
    stream = info.get("return_value")
    if event.endswith((".connect_tcp.complete", ".start_tls.complete")):
        for name in TIMED:
            setattr(stream, name, hurried(getattr(stream, name)))


def hurried(method: Callable[P, T]) -> Callable[P, T]:
    """Have a method of a connection take no longer than there is time, whatever its timeout was."""
    signature = inspect.signature(method)

    def in_time(*args: P.args, **kwargs: P.kwargs) -> T:
        given = signature.bind(*args, **kwargs)
        given.arguments["timeout"] = left()
        return method(*given.args, **given.kwargs)

    return in_time


def left() -> float:
    """Return the seconds that are left; raises TimeoutError where none are."""
    seconds = END.get() - time.monotonic()
    if seconds <= 0:
        raise TimeoutError
    return seconds
