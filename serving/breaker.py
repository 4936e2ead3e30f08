"""A circuit breaker: a server that cannot be reached is left alone, and asked now and then if it is back."""

FAILURES = 5
"""Failures one after the other after which nothing more is sent."""

PAUSE = 1.0
"""Seconds between two questions whether the server is back."""


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
        """Whether this caller is the one to probe; it must then say how that went."""
        if self._probing or now < self._ask_at:
            return False
        self._probing = True
        return True

    def wait(self, now: float) -> float:
        """Return the seconds until the next probe."""
        return max(0.0, self._ask_at - now)

    def failed(self, now: float) -> None:
        """Take in that the server could not be reached."""
        self._probing = False
        self._failures += 1
        self._ask_at = now + PAUSE

    def succeeded(self) -> None:
        """Take in that the server answered, whatever it said."""
        self._probing = False
        self._failures = 0
