"""Does the generator draw the augmentations themselves? Then cards are augmented too much (Karras 2020)."""

import numpy as np
from numpy.typing import NDArray

Cards = NDArray[np.uint8]
Floats = NDArray[np.float64]

GREY = 127.5
"""What translation and cutout leave behind, in levels."""
NEAR = 20.0
"""How far from GREY the mean pixel of a bar or a hole may lie, in levels."""
HOLE = 0.2
"""Sides of the searched hole in terms of the card's: such a one lies within each that cutout makes."""


def beside(fake: dict[str, float], real: dict[str, float]) -> dict[str, float]:
    """Return how many times as frequent or varied the traces of fakes are as those of real cards.

    Translation leaves uneven borders and grey edges: two pixels deep at least, as a card's own outline may be
    one; cutout grey holes; colour a wider spread of brightness, saturation and contrast. A number is added on
    both sides, so that what real cards never show is not infinitely more: 5 % of the cards, or (15 levels)²
    or (2 levels)². Fakes as good as real cards have 1; the first, grey ones of a run have more.
    """
    added = {"border": 15.0**2, "grey_edges": 0.05, "grey_holes": 0.05}
    return {
        name: float((fake[name] + added.get(name, 4.0)) / (real[name] + added.get(name, 4.0)))
        for name in fake
    }


def traces(cards: Cards) -> dict[str, float]:
    """Measure what augmentation leaves behind: shares of the cards, or variances in levels squared.

    The cards are uint8 (n, height, width, 3), 60 or more, and not augmented.
    """
    pixels = cards.astype(np.float64)
    off_grey = abs(pixels - GREY).max(axis=3)
    brightness = pixels.mean(axis=3)
    saturation = abs(pixels - brightness[..., None]).mean(axis=(1, 2, 3))
    return {
        "border": np.concatenate(edges(pixels), axis=1).var(axis=1).mean(),
        "grey_edges": share_near_grey(np.maximum(*(means(edges(off_grey, inset)) for inset in (0, 1)))),
        "grey_holes": share_near_grey(windows(off_grey)),
        "brightness": brightness.mean(axis=(1, 2)).var(),
        "saturation": saturation.var(),
        "contrast": brightness.std(axis=(1, 2)).var(),
    }


def edges(pixels: Floats, inset: int = 0) -> list[Floats]:
    """Return the outermost rows and columns, or those `inset` pixels further in, each (n, length, ...)."""
    first, last = inset, -1 - inset
    return [pixels[:, first], pixels[:, last], pixels[:, :, first], pixels[:, :, last]]


def means(lines: list[Floats]) -> Floats:
    """Return the mean along each of the lines (n, length), as (lines, n)."""
    return np.stack([line.mean(axis=1) for line in lines])


def share_near_grey(distances: Floats) -> float:
    """Return the share of cards of which any place is near grey; distances are (places, n)."""
    return (distances.min(axis=0) < NEAR).mean()


def windows(distances: Floats) -> Floats:
    """Return the mean of (n, height, width) over each window of a hole's size, as (places, n)."""
    n, height, width = distances.shape
    tall, wide = max(1, round(HOLE * height)), max(1, round(HOLE * width))
    sums = np.pad(distances.cumsum(axis=1).cumsum(axis=2), ((0, 0), (1, 0), (1, 0)))
    below = sums[:, tall:] - sums[:, :-tall]
    inside = below[:, :, wide:] - below[:, :, :-wide]
    return inside.reshape(n, -1).T / (tall * wide)
