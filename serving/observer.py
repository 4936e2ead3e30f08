"""What the batcher tells of its work, for whoever counts it."""

from typing import Literal

from serving.backend import ModelInfo

Reason = Literal["full", "late", "pixels"]
"""Why a request was not let in: the queue is full, its turn would come too late, or only the threads for
pictures would make it late.
"""

Loss = Literal["gone", "late"]
"""Why rows that were let in were not computed: their client left, or their deadline passed."""


class Observer:
    """Ignores all that it is told: override what matters. `model` is a name of contract.MODELS.

    Every method is called on the event loop and must be quick. One that raises stops the batcher.
    """

    def described(self, info: ModelInfo) -> None:
        """Tell which models answer, whenever they are others than before."""

    def waiting(self, model: str, rows: int) -> None:
        """Tell how many rows are let in and not yet in a call, whenever that changes."""

    def dispatched(self, model: str, rows: int, padding: int) -> None:
        """Tell of a call that begins: its rows, and those added to fill it."""

    def called(self, model: str, seconds: float) -> None:
        """Tell of a call that ended, well or not, and how long it took."""

    def answered(self, rows: int, queued: float, inferred: float) -> None:
        """Tell an owner, in its own task, how long its rows waited and were worked on, well or not."""

    def rejected(self, model: str, reason: Reason) -> None:
        """Tell of a request that was not let in."""

    def abandoned(self, model: str, rows: int, loss: Loss) -> None:
        """Tell of rows that were let in and will not be computed."""

    def isolated(self, model: str) -> None:
        """Tell of a call that failed and is tried again in halves."""
