"""The right answers: each card drawn alone and judged alone by the models, with no gateway between."""

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from tests.benchmarks.serving.raw import Raw

STEP = 1  # of 255, by which a card may differ when others were drawn with it
JPEG_STEP = 6.0  # of 255 on average, by which JPEG changes a card
LOGIT_STEP = 2e-5  # of the logit; cards judged together move it by 5e-6


@dataclass(frozen=True)
class References:
    """What seed i draws, and what the discriminator thinks of that."""

    cards: np.ndarray  # uint8 (n, height, width, 3)
    logits: np.ndarray  # float32 (n,)

    def shows(self, seed: int, file: bytes) -> bool:
        """Whether a picture's bytes are the card of this seed."""
        try:
            image = Image.open(io.BytesIO(file))
            card = np.asarray(image.convert("RGB")).astype(int)
        except OSError:
            return False
        if card.shape != self.cards[seed].shape:
            return False
        apart = np.abs(card - self.cards[seed])
        return bool(apart.mean() <= JPEG_STEP if image.format == "JPEG" else apart.max() <= STEP)

    def judges(self, seed: int, logit: float) -> bool:
        """Whether a logit is that of this seed's card."""
        return bool(abs(logit - self.logits[seed]) <= LOGIT_STEP * max(1.0, abs(self.logits[seed])))


async def ask(target: str, count: int) -> References:
    """Ask a model server for the cards of the seeds below count, one a call, and for their logits.

    Raises ValueError for models by whose cards or logits one seed could be taken for another.
    """
    raw = await Raw.to(target)
    cards = [await raw.draw(seed, 1) for seed in range(count)]
    logits = [await raw.judge(card) for card in cards]
    await raw.close()
    found = References(np.concatenate(cards), np.concatenate(logits))
    for seed in range(count):
        alike = [other for other in range(count) if found.judges(other, found.logits[seed])]
        apart = np.abs(found.cards.astype(int) - found.cards[seed]).max(axis=(1, 2, 3))
        if (apart <= STEP).sum() > 1 or len(alike) > 1:
            raise ValueError(f"seed {seed} cannot be told from others: {alike}")
    return found
