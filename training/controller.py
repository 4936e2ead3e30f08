"""How much to augment: as little as keeps the discriminator from learning cards by heart (Karras 2020)."""

import numpy as np
from numpy.typing import NDArray

Logits = NDArray[np.floating]

TARGET = 0.5
"""The overfitting that is aimed at; Karras 2020."""
RAMP = 500_000
"""Images over which the probability goes from 0 to 1; Karras 2020."""
HIGHEST = 0.8
"""Above it the generator begins to draw the augmentations themselves; Karras 2020."""
FEWEST_HELD_OUT = 10
"""With fewer cards the error of r_v exceeds 0.16, and the probability would wander by 0.2 and more."""


def overfitting(train_logits: Logits, holdout_logits: Logits, fake_logits: Logits) -> float:
    """Return r_v of Karras 2020: where held-out cards score, from 0, like training cards, to 1, like fakes.

    r_v = (E D(train) - E D(holdout)) / (E D(train) - E D(fake)) does not change with the logits' zero or
    scale, which relativistic losses leave open. Each argument is (n,); all cards must be seen alike, all
    augmented or none. Where it cannot be told, TARGET is returned, which changes nothing: with fewer than
    FEWEST_HELD_OUT held-out cards, or while the mean training card scores no higher than the mean fake, to
    two standard errors.
    """
    train, holdout, fake = (np.asarray(x, np.float64) for x in (train_logits, holdout_logits, fake_logits))
    gap = train.mean() - fake.mean()
    error = np.sqrt(train.var() / len(train) + fake.var() / len(fake))
    if len(holdout) < FEWEST_HELD_OUT or gap <= 2 * error:
        return TARGET
    return float((train.mean() - holdout.mean()) / gap)


def next_probability(current: float, r_v: float, images: int) -> float:
    """Return the probability after `images` more: up at a fixed speed if r_v is above TARGET, down if below.

    Neither a dead band nor smoothing: the error of r_v belongs to the held-out cards and stays from one look
    to the next, so that smoothing keeps it, and a dead band lets the discriminator overfit as far as the band
    is wide. A probability that takes half a million images to move smooths enough.
    """
    return float(np.clip(current + np.sign(r_v - TARGET) * images / RAMP, 0.0, HIGHEST))
