"""Do the pictures have borders of one design, or of several?"""

import warnings
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.vq import kmeans2
from scipy.spatial.distance import cdist

# Found by trying: of 40 single decks, 40 decks together and drawn cards of eight colours none reached both;
# decks mixed with drawn cards, dark with light borders and framed with unframed cards did.
APART = 40.0  # levels of 255 between the mean borders of two templates
DISTINCT = 0.65  # silhouette (Rousseeuw 1987) from which clusters are no accident
FEWEST = 5  # pictures that make a template
RAREST = 0.02  # share of the pictures that makes one
MOST = 6
SAMPLED = 800  # pictures by which templates are told apart

Borders = NDArray[np.float64]  # (n, places): brightness along the edges


class Templates(NamedTuple):
    """Several designs of border, the commonest first."""

    labels: NDArray[np.intp]  # (n,): which of them each picture has
    silhouette: float
    apart: float  # levels between the two that are most alike


def templates(borders: NDArray[np.uint8]) -> Templates | None:
    """Cluster borders (n, places); return None unless there are clearly several."""
    if len(borders) < 2 * FEWEST:
        return None
    every = borders.astype(np.float64)
    chosen = np.random.default_rng(0).permutation(len(every))[:SAMPLED]
    found = [split for count in range(2, MOST + 1) if (split := clustered(every[chosen], count)) is not None]
    if not found:
        return None
    silhouette, apart, centres = max(found, key=lambda split: split[0])
    if silhouette < DISTINCT or apart < APART:
        return None
    labels = cdist(every, centres).argmin(axis=1)
    order = np.argsort(-np.bincount(labels, minlength=len(centres)))
    return Templates(np.argsort(order)[labels], silhouette, apart)


def clustered(borders: Borders, count: int) -> tuple[float, float, Borders] | None:
    """Split into clusters; return their silhouette, how far the nearest two are apart, and their centres."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a cluster is empty
        _, labels = kmeans2(borders, count, minit="++", rng=0, iter=20)
    sizes = np.bincount(labels, minlength=count)
    used = np.flatnonzero(sizes)
    if len(used) < 2 or sizes[used].min() < max(FEWEST, RAREST * len(borders)):
        return None
    labels = np.searchsorted(used, labels)
    centres = np.stack([borders[labels == label].mean(axis=0) for label in range(len(used))])
    between = cdist(centres, centres) / borders.shape[1] ** 0.5
    apart = between[~np.eye(len(used), dtype=bool)].min()
    return silhouette(borders, labels), float(apart), centres


def silhouette(points: Borders, labels: NDArray[np.intp]) -> float:
    """Return how much nearer points (n, d) are to their own cluster than to the next, in [-1, 1]."""
    distances = cdist(points, points)
    sizes = np.bincount(labels)
    to_each = np.stack([distances[:, labels == label].sum(axis=1) for label in range(len(sizes))], axis=1)
    rows = np.arange(len(points))
    own = to_each[rows, labels] / np.maximum(sizes[labels] - 1, 1)
    others = to_each / sizes
    others[rows, labels] = np.inf
    nearest = others.min(axis=1)
    return float(((nearest - own) / np.maximum(np.maximum(own, nearest), 1e-9)).mean())
