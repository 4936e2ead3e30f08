"""A circuit breaker: an unreachable server is left alone, and asked now and then whether it is back."""

FAILURES = 5
"""Consecutive failures after which nothing more is sent."""

PAUSE = 1.0
"""Seconds between two probes."""


class Breaker:
    """Closed while calls go through, open while they are refused; half open while one call probes."""

    def __init__(self) -> None:
        self._failures = 0
        self._ask_at = 0.0  # when to probe; a time of the caller's clock
        self._probing = False

    @property
    def closed(self) -> bool:
        """Whether calls go through."""
        return self._failures < FAILURES

    def may_probe(self, now: float) -> bool:
        """Whether this caller should probe; if so, it must report the outcome."""
        if self._probing or now < self._ask_at:
            return False
        self._probing = True
        return True

    def wait(self, now: float) -> float:
        """Return the seconds until the next probe."""
        return max(0.0, self._ask_at - now)

    def failed(self, now: float) -> None:
        """Note that the server could not be reached."""
        self._probing = False
        self._failures += 1
        self._ask_at = now + PAUSE

    def succeeded(self) -> None:
        """Note that the server answered, whatever it said."""
        self._probing = False
        self._failures = 0
