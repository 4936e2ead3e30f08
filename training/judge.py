"""A quick judgement of generated cards, for the training loop to report and to keep the best by."""

from pathlib import Path

import numpy as np

from training import features
from training.dataset import Dataset
from training.features import Cards
from training.metrics import FEWEST, compare_features


class Judge:
    """Holds the features of real training cards; called with fakes, it says how far they are from those.

    `folder` keeps the features for the next time, best where the dataset lies. `count` is how many training
    cards are held, and how many fakes to ask about: FID means nothing between numbers that differ.
    """

    def __init__(self, cards: Dataset, count: int = 500, folder: Path | None = None) -> None:
        rows = np.random.default_rng(0).permutation(cards.train)[:count]
        self.real = features.of_dataset(cards, rows, folder)
        self.count = len(self.real)

    def __call__(self, fakes: Cards) -> dict[str, float]:
        """Return "kid" (x1000), "fid", "density" and "coverage" of uint8 cards (n, height, width, 3).

        More fakes than `count` are left out; with fewer, as many real cards are. Raises ValueError below
        FEWEST, the number that coverage needs.
        """
        count = min(self.count, len(fakes))
        if count < FEWEST:
            raise ValueError(f"{count} cards a side cannot be compared; it takes {FEWEST}.")
        return compare_features(self.real[:count], features.features(fakes[:count]))
