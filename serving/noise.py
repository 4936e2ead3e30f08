"""Rows of noise and labels that depend on their own seed alone, so that a card can be drawn again."""

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from serving.backend import Labels, Noise

Row = NDArray[np.float64]  # (noise_size,)

SEEDS = 2**32

MOST = 100.0
"""Largest absolute value in a client's own noise. Normal noise hardly goes beyond 6."""


def draw(seed: int, n: int, size: int, truncation: float = 1.0) -> Noise:
    """Return n rows of normal noise, float32 (n, size).

    Row i comes from (seed + i) mod 2**32 alone: card i of a request is card 0 of a request with seed + i.
    Truncation scales the rows: below 1 the cards are more typical, above 1 wilder, 1 is what training saw.
    """
    rows = [row(seed + i, size) for i in range(n)]
    return (truncation * np.stack(rows)).astype(np.float32)


def row(seed: int, size: int) -> Row:
    """Return the noise of one seed, float64 (size,)."""
    return np.random.Generator(np.random.Philox(seed % SEEDS)).standard_normal(size)


def walk(seeds: Sequence[int], frames: int, size: int, truncation: float, loop: bool) -> Noise:
    """Return rows that pass the noise of each seed, `frames` rows apart, float32 (n, size).

    A loop leads back to the first seed and stops just before it; any other walk ends with the last seed.
    """
    stops = [row(seed, size) for seed in seeds]
    if loop:
        stops.append(stops[0])
    rows = [between(a, b, step / frames) for a, b in itertools.pairwise(stops) for step in range(frames)]
    if not loop:
        rows.append(stops[-1])
    return (truncation * np.stack(rows)).astype(np.float32)


def between(start: Row, end: Row, share: float) -> Row:
    """Return the noise at a share of the way, 0 to 1, along the arc from one row to another.

    Normal noise of many numbers lies near a sphere, and a straight line would lead through its inside, which
    no generator was trained on. So directions turn evenly (slerp, Shoemake 1985) and lengths change evenly.
    """
    lengths = np.linalg.norm(start), np.linalg.norm(end)
    from_, to = start / lengths[0], end / lengths[1]
    angle = np.arccos(np.clip(from_ @ to, -1, 1))
    if share == 0 or np.sin(angle) < 1e-6:  # nothing to turn by, or no shortest arc
        return (1 - share) * start + share * end
    direction = (np.sin((1 - share) * angle) * from_ + np.sin(share * angle) * to) / np.sin(angle)
    return ((1 - share) * lengths[0] + share * lengths[1]) * direction


def draw_labels(seed: int, n: int, classes: int) -> Labels:
    """Return n labels, int32 (n,), each of the classes equally likely; row i follows from seed + i alone.

    Labels have a stream of their own, so that the noise stays the same if the kind is named.
    """
    streams = (np.random.Generator(np.random.Philox([(seed + i) % SEEDS, 1])) for i in range(n))
    return np.array([stream.integers(classes) for stream in streams], np.int32)
