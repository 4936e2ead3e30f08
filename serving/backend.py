"""The seam between HTTP and the models: what any backend can do, and how it can fail."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Noise = NDArray[np.float32]  # (n, noise_size)
Labels = NDArray[np.int32]  # (n,), each an index into ModelInfo.classes
Cards = NDArray[np.uint8]  # (n, height, width, 3)


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


@dataclass(frozen=True)
class Scored:
    """One number a card in each array, and the version of the discriminator that gave them."""

    logit: NDArray[np.float32]  # (n,) the raw critic
    probability: NDArray[np.float32]  # (n,) in [0, 1]
    percentile: NDArray[np.float32]  # (n,) in [0, 100]
    version: str


class BackendError(Exception):
    """The models gave no answer. The message is for the client: what is wrong and what to do."""


class NotReady(BackendError):
    """No complete pair of models can be loaded, or they are still loading."""


class Unavailable(BackendError):
    """The model server cannot be reached or takes no more work; trying again later may help."""


class DeadlineExceeded(BackendError):
    """The models took longer than the request may wait."""


class BadAnswer(BackendError):
    """The models answered something that the contract does not allow."""


class Backend(Protocol):
    """The models, wherever they run. Every method may raise BackendError."""

    async def info(self) -> ModelInfo:
        """Describe the models, or raise NotReady or Unavailable. This is what readiness asks."""
        ...

    async def generate(self, noise: Noise, labels: Labels | None = None) -> Generated:
        """Draw one card for each row of noise; labels where info() names classes, and only there."""
        ...

    async def score(self, cards: Cards) -> Scored:
        """Judge each card; its size must be the one that info() names."""
        ...

    async def close(self) -> None:
        """Let go of connections and threads."""
        ...
