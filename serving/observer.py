"""The events that the batcher reports, for whoever counts them."""

from typing import Literal

from serving.backend import ModelInfo

Reason = Literal["full", "late", "pixels"]
"""Why a request was not admitted: the queue is full, the models would answer too late, or only the threads
for pictures would make it late.
"""

Loss = Literal["gone", "late"]
"""Why admitted rows were not computed: their client left, or their deadline passed."""


class Observer:
    """Ignores every event: override those that matter. `model` is a name of contract.MODELS.

    Every method is called on the event loop and must be quick. One that raises stops the batcher.
    """

    def described(self, info: ModelInfo) -> None:
        """Other models answer than before."""

    def waiting(self, model: str, rows: int) -> None:
        """The number of rows that are admitted and not in a call has changed."""

    def dispatched(self, model: str, rows: int, padding: int) -> None:
        """A call begins, of so many rows and those added to fill it."""

    def called(self, model: str, seconds: float) -> None:
        """A call has ended, well or not, after so many seconds."""

    def answered(self, rows: int, queued: float, inferred: float) -> None:
        """A request's rows were answered, well or not, after these seconds. Runs in the request's task."""

    def rejected(self, model: str, reason: Reason) -> None:
        """A request was not admitted."""

    def abandoned(self, model: str, rows: int, loss: Loss) -> None:
        """Rows that were admitted will not be computed."""

    def isolated(self, model: str) -> None:
        """A call has failed and is tried again in halves."""
