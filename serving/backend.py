"""The interface between HTTP and the models: what any backend can do, and how it can fail."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Noise = NDArray[np.float32]  # (n, noise_size)
Labels = NDArray[np.int32]  # (n,), each an index into ModelInfo.classes
Cards = NDArray[np.uint8]  # (n, height, width, 3)

REPLACED = "The models were just replaced by others of another size, or with other kinds of card. Try again."
"""Of NotReady: rows were made for models that are no longer there."""


@dataclass(frozen=True)
class ModelInfo:
    """What the exported pair looks like from outside, learnt from its signatures and its model card."""

    version: str
    noise_size: int
    height: int  # of a card, in pixels
    width: int
    classes: tuple[str, ...] = ()  # names of the kinds of card, in the order of their labels


@dataclass(frozen=True)
class Generated:
    """Cards, and the version of the generator that drew them."""

    cards: Cards
    version: str

    def part(self, start: int, stop: int) -> "Generated":
        """Return some of the cards, without copying them."""
        return Generated(self.cards[start:stop], self.version)

    @staticmethod
    def joined(parts: Sequence["Generated"]) -> "Generated":
        """Put parts of one version together again."""
        return Generated(np.concatenate([part.cards for part in parts]), parts[0].version)


@dataclass(frozen=True)
class Scored:
    """One number a card in each array, and the version of the discriminator that gave them."""

    logit: NDArray[np.float32]  # (n,) the raw critic
    probability: NDArray[np.float32]  # (n,) in [0, 1]
    percentile: NDArray[np.float32]  # (n,) in [0, 100]
    version: str

    def part(self, start: int, stop: int) -> "Scored":
        """Return some of the scores, without copying them."""
        return Scored(
            self.logit[start:stop], self.probability[start:stop], self.percentile[start:stop], self.version
        )

    @staticmethod
    def joined(parts: Sequence["Scored"]) -> "Scored":
        """Put parts of one version together again."""
        return Scored(
            np.concatenate([part.logit for part in parts]),
            np.concatenate([part.probability for part in parts]),
            np.concatenate([part.percentile for part in parts]),
            parts[0].version,
        )


RETRY_AFTER = 2.0
"""Seconds after which another try makes sense, where nothing better is known."""


class BackendError(Exception):
    """The models gave no answer. The message is for the client: what is wrong and what to do."""

    def __init__(self, message: str, retry_after: float = RETRY_AFTER) -> None:
        """Take the seconds after which another try makes sense, for those errors that pass."""
        super().__init__(message)
        self.retry_after = retry_after


class NotReady(BackendError):
    """No complete pair of models can be loaded, or they are still loading."""


class Unavailable(BackendError):
    """The model server cannot be reached or takes no more work; trying again later may help."""


class Overloaded(BackendError):
    """More rows are waiting for the models than can be drawn or judged in time."""


class Draining(BackendError):
    """The gateway is about to end."""


class DeadlineExceeded(BackendError):
    """The models took longer than the request may wait."""


class BadAnswer(BackendError):
    """The models gave an answer that the contract does not allow."""


class Backend(Protocol):
    """The models, wherever they run. Every method may raise BackendError.

    A deadline is a time of the running event loop, after which nobody waits for the answer; None leaves it
    to the backend.
    """

    async def info(self) -> ModelInfo:
        """Describe the models, or raise NotReady or Unavailable. This is what readiness asks."""
        ...

    async def generate(
        self, noise: Noise, labels: Labels | None = None, *, deadline: float | None = None
    ) -> Generated:
        """Draw one card for each row of noise; labels where info() names classes, and only there."""
        ...

    async def score(self, cards: Cards, *, deadline: float | None = None) -> Scored:
        """Judge each card; its size must be the one that info() names."""
        ...

    async def close(self) -> None:
        """Close connections and end threads."""
        ...
