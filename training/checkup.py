"""A look at a few generated cards for the doctor: numbers of uint8 pictures, each held against real cards."""

import numpy as np
from numpy.typing import NDArray

from training.dataset import Dataset
from training.leaks import beside, traces
from training.metrics import nearest, pair_similarity

Cards = NDArray[np.uint8]
Floats = NDArray[np.float32]

LOOKED_AT = 100
"""Generated cards; leaks needs 60."""
KNOWN, UNKNOWN = 5000, 300
"""Training cards among which copies are looked for, and held-out ones that tell how near is usual."""
REAL = 500
"""Real cards they are held against."""
PAIRS = 60
"""Of fakes whose similarity is measured; their mean is uncertain by 0.01 to 0.02."""
SIDE = 16
"""Of the thumbnails in which copies are looked for, in pixels: what is finer a copy may lack."""
CELLS = 4
"""Along each side of a card; each of the parts must vary."""
ROWS = 200
"""Cards that are made thumbnails at a time."""
COPY = 0.01
"""Of the held-out cards lie nearer to a training card than what is called a copy."""
FEWEST_HELD_OUT = 20
"""With fewer nothing can be said of copies: what is usually near is not known."""
ADDED, ADDED_TO_PARTS = 4.0, 1.0
"""Grey levels added to both spreads, so that what hardly differs on real cards does not count. A part
that is always the same has 0.1 where real cards differ by 9 levels, less where they differ by more."""


class Checkup:
    """Holds what is to be known of the real cards; called with fakes, it measures them.

    `real` and `held_out` are uint8 (n, height, width, 3), in any order: training cards, all of them where
    copies are to be found, and cards the networks never saw.
    """

    @staticmethod
    def of(cards: Dataset) -> "Checkup":
        """Draw cards of each split; copies of a dataset of more than KNOWN cards may escape it."""
        random = np.random.default_rng(0)
        some, others = random.permutation(cards.train)[:KNOWN], random.permutation(cards.holdout)[:UNKNOWN]
        return Checkup(cards.cards[some], cards.cards[others])

    def __init__(self, real: Cards, held_out: Cards) -> None:
        some = real[:REAL]
        self.traces = traces(some)
        self.spread = spread(some)
        self.similarity = pair_similarity(some) if len(some) > 1 else 0.0
        self.grid = grid(some)
        self.known, self.usual = thumbnails(real), 0.0
        """Below which distance a copy is suspected; 0 where too few cards are held out to tell."""
        if len(held_out) >= FEWEST_HELD_OUT:
            distances = nearest(thumbnails(held_out), self.known)[1]
            self.usual = usual(distances, self.known)

    def __call__(self, fakes: Cards) -> dict[str, float]:
        """Measure fakes uint8 (n, height, width, 3), 60 or more.

        "variety" is how much they differ from each other in terms of real cards, "least_variety" the same in
        the part of the card where it is least; "similarity" is MS-SSIM between pairs above that of real
        cards; "nyquist" the power of the finest wave, in terms of real cards; "copy_rate" the share that lies
        nearer to a training card than 99 % of held-out cards, if there are enough of those; "leak_*" as in
        leaks.
        """
        found = spread(fakes)
        parts = (cells(found) + ADDED_TO_PARTS) / (cells(self.spread) + ADDED_TO_PARTS)
        measured = {
            "variety": float((found.mean() + ADDED) / (self.spread.mean() + ADDED)),
            "least_variety": float(parts.min()),
            "similarity": pair_similarity(fakes, pairs=PAIRS) - self.similarity,
            "nyquist": max(found / usual for found, usual in zip(grid(fakes), self.grid, strict=True)),
        }
        if self.usual:
            distances = nearest(thumbnails(fakes), self.known)[1]
            measured["copy_rate"] = float((distances < self.usual).mean())
        return measured | {
            f"leak_{name}": ratio for name, ratio in beside(traces(fakes), self.traces).items()
        }


def usual(held_out: NDArray[np.float64], known: Floats) -> float:
    """Return the distance below which a copy is suspected, given the held-out cards' nearest distances.

    0, by which nothing is suspected, if held-out cards lie as far from training cards as half of those do
    from each other: then they are of another kind, and say nothing of what is usual.
    """
    between = nearest(known[:UNKNOWN], known, 2)[1][:, 1]  # the nearest is the card itself
    near = float(np.quantile(held_out, COPY))
    return near if near < np.median(between) else 0.0


def spread(cards: Cards) -> Floats:
    """Return (height, width): how much cards differ from each other at each pixel, in grey levels."""
    return cards.std(axis=0, dtype=np.float32).mean(axis=2)


def cells(image: Floats) -> Floats:
    """Return the means (CELLS, CELLS) of an image's parts."""
    rows = [part.mean(axis=0) for part in np.array_split(image, CELLS, axis=0)]
    return np.array([[part.mean() for part in np.array_split(row, CELLS)] for row in rows])


def grid(cards: Cards) -> list[float]:
    """Return the usual strength of the three waves of two pixels' length, in grey levels, plus one.

    They run down, across and diagonally. Edges are strong in a few places; the median over regions of eight
    by eight pixels leaves what is everywhere.
    """
    pixels = cards[:, : cards.shape[1] // 2 * 2, : cards.shape[2] // 2 * 2].astype(np.float32)
    a, b, c, d = pixels[:, ::2, ::2], pixels[:, ::2, 1::2], pixels[:, 1::2, ::2], pixels[:, 1::2, 1::2]
    waves = (a + b - c - d, a - b + c - d, a - b - c + d)
    return [float(np.median(abs(regional(wave) / 4))) + 1.0 for wave in waves]


def regional(waves: Floats) -> Floats:
    """Return the means of (n, height, width, 3) over regions of four by four."""
    n, height, width, _ = waves.shape
    cut = waves[:, : height // 4 * 4, : width // 4 * 4]
    return cut.reshape(n, height // 4, 4, width // 4, 4, 3).mean(axis=(2, 4))


def thumbnails(cards: Cards) -> Floats:
    """Return cards as rows (n, SIDE * SIDE * 3), each number the mean of a part of the card.

    Of cards with fewer pixels along a side the rows are shorter.
    """
    parts = [cards[start : start + ROWS] for start in range(0, len(cards), ROWS)]
    return np.concatenate([shrunk(part) for part in parts])


def shrunk(cards: Cards) -> Floats:
    """Return thumbnails of as many cards as memory has room for."""
    height, width = cards.shape[1:3]
    down = np.linspace(0, height, min(SIDE, height), endpoint=False).astype(int)
    right = np.linspace(0, width, min(SIDE, width), endpoint=False).astype(int)
    sums = np.add.reduceat(np.add.reduceat(cards.astype(np.uint32), down, axis=1), right, axis=2)
    areas = np.diff([*down, height])[:, None] * np.diff([*right, width])[None]
    return (sums / areas[..., None]).reshape(len(cards), -1).astype(np.float32)
