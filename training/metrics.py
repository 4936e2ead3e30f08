"""How far generated cards are from real ones: pure functions of features (n, d) or of uint8 cards.

No number here means anything alone. Hold each against its floor: the same number between real cards and
other real cards.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.features import Cards, Features

NEIGHBOURS = 5  # k of density and coverage, as their authors advise
FEWEST = NEIGHBOURS + 1  # cards on either side that can be compared
ROWS = 1024  # of a distance matrix held at a time

KID_SUBSETS = 20
KID_SUBSET_MOST = 500

SSIM_PAIRS = 200
SSIM_FILTER = 11  # side of its window, in pixels
SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of Wang, Simoncelli and Bovik 2003, finest first
SSIM_FLOORS = (0.01**2, 0.03**2)  # what keeps its two quotients finite
SSIM_SIGMA = 1.5  # of its window, in pixels


@dataclass(frozen=True)
class Spread:
    """A mean and the standard deviation around it; None where there is but one value."""

    mean: float
    deviation: float | None = None

    @staticmethod
    def of(values: list[float]) -> "Spread":
        """Summarise one or more values."""
        return Spread(float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else None)


def compare_features(real: Features, fake: Features, seed: int = 0) -> dict[str, float]:
    """Return KID x1000, FID, density and coverage of as many fakes as real cards, at least FEWEST each."""
    density, coverage = density_and_coverage(real, fake)
    return {
        "kid": kid(real, fake, seed).mean,
        "fid": fid(real, fake),
        "density": density,
        "coverage": coverage,
    }


def kid(real: Features, fake: Features, seed: int = 0) -> Spread:
    """Return the kernel inception distance x1000 over random subsets (Binkowski et al. 2018).

    It is unbiased: two samples of one distribution give 0 on average, whatever their size, and may give
    less. Subsets hold half of the smaller side, at most 500 rows. Each side needs two rows.
    """
    random = np.random.default_rng(seed)
    size = max(2, min(KID_SUBSET_MOST, len(real) // 2, len(fake) // 2))
    values = [
        1000 * squared_mmd(random.choice(real, size, replace=False), random.choice(fake, size, replace=False))
        for _ in range(KID_SUBSETS)
    ]
    return Spread.of(values)


def squared_mmd(x: Features, y: Features) -> float:
    """Return the unbiased squared maximum mean discrepancy (Gretton et al. 2012) of two sets of one size.

    The kernel is the cubic polynomial (x.y / d + 1)^3.
    """

    def kernel(a: Features, b: Features) -> NDArray[np.float64]:
        return (a.astype(np.float64) @ b.T.astype(np.float64) / a.shape[1] + 1) ** 3

    def mean_of_pairs(a: Features) -> float:
        products = kernel(a, a)
        return (products.sum() - np.trace(products)) / (len(a) * (len(a) - 1))

    return float(mean_of_pairs(x) + mean_of_pairs(y) - 2 * kernel(x, y).mean())


def fid(real: Features, fake: Features) -> float:
    """Return the Frechet distance of two normals fitted to the features (Heusel et al. 2017), 0 or more.

    It falls as the sets grow, so compare only distances between sets of the same size. Each side needs two
    rows.
    """
    a, b = covariance_root(real), covariance_root(fake)
    # The trace of (A'A B'B)^(1/2) is the sum of the singular values of AB': no root of a matrix is needed.
    shared = np.linalg.svd(a @ b.T, compute_uv=False).sum()
    apart = np.square(real.mean(axis=0, dtype=np.float64) - fake.mean(axis=0, dtype=np.float64)).sum()
    return max(0.0, float(apart + np.square(a).sum() + np.square(b).sum() - 2 * shared))


def covariance_root(x: Features) -> NDArray[np.float64]:
    """Return a matrix A of at most d rows such that A'A is the covariance of the features (n, d)."""
    centred = (x - x.mean(axis=0, dtype=np.float64)) / np.sqrt(len(x) - 1)
    return np.asarray(np.linalg.qr(centred, mode="r")) if len(x) > x.shape[1] else centred


def density_and_coverage(real: Features, fake: Features) -> tuple[float, float]:
    """Return density and coverage (Naeem et al. 2020); real needs more than NEIGHBOURS rows.

    Each real card has a ball that reaches to its k-th nearest other real card. Density is how many balls a
    fake lies in, over k: near 1 for real cards, higher where fakes crowd together. Coverage is the share of
    real cards with a fake in their ball, 0 to 1: it falls when kinds of card are missing.
    """
    # A card's nearest real card is itself, at distance 0. The slack keeps rounding from leaving it outside.
    slack = 1e-9 * float(np.square(real, dtype=np.float64).sum(axis=1).max())
    blocks = squared_distances(real, real)
    # Copied, since a column alone would keep its whole block in memory.
    balls = [np.partition(rows, NEIGHBOURS, axis=1)[:, NEIGHBOURS].copy() for rows in blocks]
    radii = np.concatenate(balls) + slack
    inside = np.zeros(len(fake), np.int64)
    covered = 0
    for start, rows in zip(range(0, len(real), ROWS), squared_distances(real, fake), strict=True):
        within = rows <= radii[start : start + ROWS, None]
        inside += within.sum(axis=0)
        covered += int(within.any(axis=1).sum())
    return float(inside.mean() / NEIGHBOURS), covered / len(real)


def squared_distances(x: Features, y: Features) -> Iterator[NDArray[np.float64]]:
    """Yield the squared distances from rows of x, ROWS at a time, to all rows of y."""
    others = y.astype(np.float64)
    norms = np.square(others).sum(axis=1)
    for start in range(0, len(x), ROWS):
        rows = x[start : start + ROWS].astype(np.float64)
        distances = np.square(rows).sum(axis=1)[:, None] + norms - 2 * rows @ others.T
        yield np.maximum(distances, 0.0)


def nearest(x: Features, y: Features, count: int = 1) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return for each row of x its nearest rows of y: indices and distances, each (len(x), count)."""
    indices, distances = [], []
    for rows in squared_distances(x, y):
        order = np.argpartition(rows, range(count), axis=1)[:, :count].copy()  # the rest stays unsorted
        indices.append(order)
        distances.append(np.sqrt(np.take_along_axis(rows, order, axis=1)))
    return np.concatenate(indices), np.concatenate(distances)


def copy_rate(train: Features, held_out: Features, fake: Features) -> float:
    """Return the share of fakes that lie nearer to a training card than 99 % of held-out cards do.

    A generator that learnt and did not copy gives about 0.01, or one over the number of held-out cards if
    those are fewer than 100; one that gives training cards back gives 1.
    """
    usual = np.quantile(nearest(held_out, train)[1], 0.01)
    return float((nearest(fake, train)[1] < usual).mean())


def usual_copy_rate(train: Features, held_out: Features) -> float:
    """Return the copy rate of the held-out cards themselves, each measured by all others: copy_rate's floor.

    Halves of them would not do: a half of 20 cards gives twice the rate that all give.
    """
    distances = np.sort(nearest(held_out, train)[1][:, 0])
    lowest = range(len(distances) // 100 + 2)  # others lie beyond the quantile, whichever is left out
    nearer = [distances[i] < np.quantile(np.delete(distances, i), 0.01) for i in lowest]
    return sum(nearer) / len(distances)


def pair_similarity(cards: Cards, seed: int = 0, pairs: int = SSIM_PAIRS) -> float:
    """Return the mean MS-SSIM (Wang, Simoncelli and Bovik 2003) of random pairs of cards, 0 to 1.

    More than among real cards means less variety. It takes as many of the five scales as the cards have
    room for, with their weights scaled to sum to 1; scores of cards of different sizes do not compare.
    """
    random = np.random.default_rng(seed)
    first = random.integers(len(cards), size=pairs)
    second = (first + random.integers(1, len(cards), size=pairs)) % len(cards)
    return float(ms_ssim(cards[first], cards[second]).mean())


def ms_ssim(one: Cards, other: Cards) -> NDArray[np.floating]:
    """Return the MS-SSIM (n,) of n pairs of cards.

    tf.image.ssim_multiscale gives the same numbers in five times the time: it convolves with a square window
    where two matrix products do, one for each side of a card.
    """
    side = min(one.shape[1:3])
    window = min(SSIM_FILTER, side)
    scales = max(1, min(len(SSIM_WEIGHTS), int(np.log2(side / window)) + 1))
    weights = np.array(SSIM_WEIGHTS[:scales]) / sum(SSIM_WEIGHTS[:scales])
    x, y = (np.moveaxis(cards, 3, 1).astype(np.float32) / 255 for cards in (one, other))
    score = np.ones(x.shape[:2], np.float32)
    for scale, weight in enumerate(weights):
        if scale:
            x, y = halved(x), halved(y)
        mean_x, mean_y, square, product = (blurred(z, window) for z in (x, y, x * x + y * y, x * y))
        means, mean_squares = 2 * mean_x * mean_y, mean_x * mean_x + mean_y * mean_y
        alike = (2 * product - means + SSIM_FLOORS[1]) / (square - mean_squares + SSIM_FLOORS[1])
        if scale == scales - 1:
            alike *= (means + SSIM_FLOORS[0]) / (mean_squares + SSIM_FLOORS[0])
        score *= np.maximum(alike.mean(axis=(2, 3)), 0) ** weight
    return score.mean(axis=1)


def blurred(cards: NDArray[np.floating], window: int) -> NDArray[np.floating]:
    """Return SSIM's Gaussian means of cards (n, 3, height, width) at every place of its window."""
    weights = np.exp(-np.square(np.arange(window) - (window - 1) / 2) / (2 * SSIM_SIGMA**2))
    weights /= weights.sum()
    for _ in range(2):  # along the first of both sides, which becomes the last
        places = cards.shape[2] - window + 1
        rows = [np.pad(weights, (start, places - 1 - start)) for start in range(places)]
        cards = np.tensordot(cards, np.array(rows, np.float32), (2, 1))
    return cards


def halved(cards: NDArray[np.floating]) -> NDArray[np.floating]:
    """Halve cards (n, 3, height, width), a last odd row or column repeated."""
    height, width = cards.shape[2:]
    even = np.pad(cards, ((0, 0), (0, 0), (0, height % 2), (0, width % 2)), "edge")
    return (even[:, :, ::2, ::2] + even[:, :, 1::2, ::2] + even[:, :, ::2, 1::2] + even[:, :, 1::2, 1::2]) / 4
