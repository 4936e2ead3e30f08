"""What the batcher tells, noted in the timings of the request that it is about."""

from collections.abc import Callable

from serving import timings
from serving.backend import ModelInfo
from serving.observer import Observer


class Stages(Observer):
    """Counts a request's cards, and how long they waited for the models and were worked on."""

    def __init__(self, answering: Callable[[ModelInfo], None]) -> None:
        """Take whom to tell when other models answer than before."""
        self._answering = answering

    def described(self, info: ModelInfo) -> None:
        """Tell which models answer."""
        self._answering(info)

    def answered(self, model: str, rows: int, queued: float, inferred: float) -> None:
        """Note both stages of some rows, which end now."""
        current = timings.current()
        current.cards += rows
        current.passed("queue", queued, before=inferred)
        current.passed("infer", inferred)
