"""How long a request is tried: what is sent again, after which pause, and when to give up."""

import random
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from serving.client.errors import Unreachable
from serving.client.message import Call, Reply

RETRIED = (429, 503, 504)
"""The statuses by which the gateway says that the same request may succeed later."""

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 8.0
"""Seconds, if the gateway names none: at most the first, then twice as many each time, up to the last."""

LONGEST_TIMEOUT = 86_400
"""Seconds: a day. The system's timers do not reach beyond some weeks."""

JITTER = 0.2
"""Clients that were refused together come back spread over this share of the pause."""


@dataclass(frozen=True)
class Patience:
    """How long a client is willing to try one request."""

    timeout: float
    """Seconds in all, pauses included."""
    retries: int

    def __post_init__(self) -> None:
        if not 0 < self.timeout <= LONGEST_TIMEOUT:
            raise ValueError(
                f"The timeout is seconds above 0, at most {LONGEST_TIMEOUT}, not {self.timeout}."
            )
        if not self.retries >= 0:
            raise ValueError(f"The retries are a number of 0 or more, not {self.retries}.")


@dataclass(frozen=True)
class Attempt:
    """Send the call now; its whole answer must come within these seconds."""

    call: Call[Any]
    seconds: float


@dataclass(frozen=True)
class Pause:
    """Do nothing for these seconds."""

    seconds: float


Steps = Generator[Attempt | Pause, Reply | Unreachable | None, Reply]
"""What to do next; after an Attempt, its outcome must be sent in."""


def persist(
    call: Call[Any],
    patience: Patience,
    clock: Callable[[], float] = time.monotonic,
    chance: Callable[[], float] = random.random,
) -> Steps:
    """Send a call until it has a final answer; otherwise return the last refusal, or raise Unreachable.

    It gives up at once if the gateway asks for a longer pause than there is time.
    """
    end = clock() + patience.timeout
    retries = patience.retries if call.retries is None else call.retries
    failures = 0
    while True:
        outcome = yield Attempt(call, max(end - clock(), 0))
        if isinstance(outcome, Reply) and outcome.status not in RETRIED:
            return outcome
        assert outcome is not None
        seconds = pause(outcome, failures, chance())
        if failures >= retries or clock() + seconds >= end:
            if isinstance(outcome, Unreachable):
                raise outcome
            return outcome
        yield Pause(seconds)
        failures += 1


def pause(outcome: Reply | Unreachable, failures: int, chance: float) -> float:
    """Return the seconds before the next attempt: what the gateway said, and by chance some more."""
    named = retry_after(outcome) if isinstance(outcome, Reply) else None
    if named is not None:
        return named * (1 + JITTER * chance)
    doubled = 2 ** min(failures, 10)  # whoever waits for models may fail more often than a float can double
    return chance * min(FIRST_PAUSE * doubled, LONGEST_PAUSE)


def retry_after(reply: Reply) -> float | None:
    """Return the seconds of Retry-After, which is seconds or a date (RFC 9110, 10.2.3); None if neither."""
    value = reply.headers.get("retry-after", "").strip()
    if value.isascii() and value.isdecimal():
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, OverflowError):  # the latter for a year of twenty digits
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max((moment - datetime.now(UTC)).total_seconds(), 0.0)
