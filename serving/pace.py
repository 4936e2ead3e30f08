"""How long a model call takes, learnt from the calls before it."""

FADING = 0.1
"""Weight of the newest call: the last 20 calls decide nearly everything."""

ALIKE = 0.1
"""Variance of the rows, as a share of their mean square, below which they do not tell what a row costs.

Of two files whose sizes differ by a twentieth, one may take thirty times as long because a thread starts
cold. Such a slope predicts seconds for a photograph a hundred times as large, and everybody behind it would
be refused.
"""


class Pace:
    """Seconds of a call as a + b rows: a least squares fit in which older calls fade."""

    def __init__(self) -> None:
        self._rows = self._seconds = 0.0  # means
        self._rows_squared = self._rows_seconds = 0.0  # means of the products
        self._calls = 0

    def learn(self, rows: int, seconds: float) -> None:
        """Learn from one call."""
        self._calls += 1
        share = max(FADING, 1 / self._calls)
        self._rows += share * (rows - self._rows)
        self._seconds += share * (seconds - self._seconds)
        self._rows_squared += share * (rows * rows - self._rows_squared)
        self._rows_seconds += share * (rows * seconds - self._rows_seconds)

    def fit(self) -> tuple[float, float]:
        """Return seconds a call and seconds a row, neither below 0; both are 0 before the first call.

        While all calls have had about the same number of rows, the whole time counts as the call's. Counted
        per row, it would have a burst refused after a few calls of one row, and nobody would learn how little
        further rows cost.
        """
        if not self._calls:
            return 0.0, 0.0
        variance = self._rows_squared - self._rows**2
        if variance <= ALIKE * self._rows_squared:
            return self._seconds, 0.0
        slope = max(0.0, (self._rows_seconds - self._rows * self._seconds) / variance)
        return max(0.0, self._seconds - slope * self._rows), min(slope, self._seconds / self._rows)

    def seconds(self, rows: int, calls: int = 1) -> float:
        """Predict how long some rows take, divided among a number of calls."""
        a_call, a_row = self.fit()
        return a_call * calls + a_row * rows
