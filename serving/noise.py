"""Noise rows and labels that depend on nothing but their own seed, so that a card can be drawn again."""

import numpy as np

from serving.backend import Labels, Noise

SEEDS = 2**32

MOST = 100.0
"""Largest number, on either side of 0, in a row of a client's own. Normal noise hardly goes beyond 6."""


def draw(seed: int, n: int, size: int, truncation: float = 1.0) -> Noise:
    """Return n rows of normal noise, float32 (n, size).

    Row i comes from (seed + i) mod 2**32 alone: card i of a request is card 0 of a request with seed + i.
    Truncation scales the rows: below 1 the cards are more typical, above 1 wilder, 1 is what training saw.
    """
    rows = [np.random.Generator(np.random.Philox((seed + i) % SEEDS)).standard_normal(size) for i in range(n)]
    return (truncation * np.stack(rows)).astype(np.float32)


def draw_labels(seed: int, n: int, classes: int) -> Labels:
    """Return n labels, int32 (n,), each of the classes equally likely; row i follows from seed + i alone.

    The stream is another than that of the noise, whose row stays the same when its kind is named.
    """
    streams = (np.random.Generator(np.random.Philox([(seed + i) % SEEDS, 1])) for i in range(n))
    return np.array([stream.integers(classes) for stream in streams], np.int32)
