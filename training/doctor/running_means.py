"""Numbers of single steps, computed back from means over all steps since the start.

Keras 3.0 to 3.14 returned such means from train_on_batch (keras-team/keras#22596).
"""


class RunningMeans:
    """Undoes the means of a log's signals; its lines must come in order."""

    def __init__(self) -> None:
        self.last: dict[str, tuple[float, float]] = {}  # steps so far and their mean, by signal

    def undo(self, name: str, steps: float, mean: float) -> float:
        """Return the mean of the steps since the last line alone, given that of all `steps`, 1 or more."""
        before, last = self.last.get(name, (0.0, 0.0))
        if steps <= before:
            return mean
        self.last[name] = (steps, mean)
        return max(0.0, (steps * mean - before * last) / (steps - before))
