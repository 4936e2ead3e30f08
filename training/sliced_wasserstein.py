"""The sliced Wasserstein distance of two sets of cards at each scale, as in ProGAN (Karras et al. 2018).

Fine scales see texture, coarse ones layout. It needs no trained network.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from training.features import Cards

CARDS = 256  # taken from a set
PATCHES = 128  # from a card and scale
PATCH = 7  # its side, in pixels
COARSEST = 16  # shorter side of the last scale, in pixels
REPEATS, DIRECTIONS = 4, 128

TAPS = np.array([1, 4, 6, 4, 1], np.float32) / 16  # of the Gaussian pyramid (Burt and Adelson 1983)

Images = NDArray[np.float32]  # (n, height, width, 3)


def sliced_wasserstein(real: Cards, fake: Cards, seed: int = 0) -> dict[str, float]:
    """Return the distance x1000 for each scale, named WIDTHxHEIGHT from fine to coarse, and its "average".

    Takes two sets of uint8 cards of one size, at least 7 pixels a side, and the same number from each.
    """
    random = np.random.default_rng(seed)
    count = min(CARDS, len(real), len(fake))
    distances = {}
    for x, y in zip(pyramid(real[:count]), pyramid(fake[:count]), strict=True):
        _, height, width, _ = x.shape
        distance = distance_of_patches(patches(x, random), patches(y, random), random)
        distances[f"{width}x{height}"] = distance
    return distances | {"average": float(np.mean(list(distances.values())))}


def pyramid(cards: Cards) -> Iterator[Images]:
    """Yield the Laplacian pyramid: what each scale adds to the next coarser one, which comes last whole."""
    images = cards.astype(np.float32)
    while min(images.shape[1:3]) >= 2 * COARSEST:
        smaller = blurred(images)[:, ::2, ::2]
        yield images - enlarged(smaller, images.shape)
        images = smaller
    yield images


def enlarged(images: Images, shape: tuple[int, ...]) -> Images:
    """Double the sides to those of `shape`."""
    spread = np.zeros(shape, np.float32)
    spread[:, ::2, ::2] = images
    return 4 * blurred(spread)


def blurred(images: Images) -> Images:
    """Smooth along height and width; edges are mirrored."""
    _, height, width, _ = images.shape
    padded = np.pad(images, [(0, 0), (2, 2), (0, 0), (0, 0)], "reflect")
    images = np.sum([tap * padded[:, i : i + height] for i, tap in enumerate(TAPS)], axis=0)
    padded = np.pad(images, [(0, 0), (0, 0), (2, 2), (0, 0)], "reflect")
    return np.sum([tap * padded[:, :, i : i + width] for i, tap in enumerate(TAPS)], axis=0)


def patches(images: Images, random: np.random.Generator) -> Images:
    """Cut patches (n, 7 * 7 * 3) at random places, each channel with mean 0 and deviation 1 over all."""
    n, height, width, _ = images.shape
    index = np.repeat(np.arange(n), PATCHES)[:, None, None]
    y = random.integers(height - PATCH + 1, size=n * PATCHES)[:, None, None] + np.arange(PATCH)[:, None]
    x = random.integers(width - PATCH + 1, size=n * PATCHES)[:, None, None] + np.arange(PATCH)
    cut = images[index, y, x]
    cut -= cut.mean(axis=(0, 1, 2))
    cut /= np.maximum(cut.std(axis=(0, 1, 2)), 1e-8)
    return cut.reshape(len(cut), -1)


def distance_of_patches(x: Images, y: Images, random: np.random.Generator) -> float:
    """Return 1000 times the mean distance of both sets' projections, sorted, along random directions."""
    distances = []
    for _ in range(REPEATS):
        directions = random.standard_normal((DIRECTIONS, x.shape[1]), np.float32)
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        apart = np.sort(directions @ x.T) - np.sort(directions @ y.T)
        distances.append(float(np.abs(apart).mean()))
    return 1000 * float(np.mean(distances))
