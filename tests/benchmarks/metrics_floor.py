"""What each metric says of known harms to real cards, so that a reader can place the numbers of a generator.

    python -m tests.benchmarks.metrics_floor FOLDER [--size 64x64] [--count 500] [--seed 0]

FOLDER holds card images, at least twice --count. Half of them is compared with the other half, harmed.
"""

import argparse
import io
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from training import features
from training.evaluate import Sample, compare
from training.features import Cards
from training.folder import parse_size
from training.prepare import prepare

Harm = Callable[[Cards], Cards]
COLUMNS = ("kid", "fid", "density", "coverage", "sliced_wasserstein_average", "ms_ssim_excess")
HEADINGS = ("KID x1000", "FID", "density", "coverage", "SWD", "MS-SSIM +")


def main() -> int:
    """Print the table; return 1 when there are too few cards."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", default="64x64")
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    cards = shuffled(arguments.folder, arguments.size, arguments.seed)
    if len(cards) < 2 * arguments.count:
        print(f"{len(cards)} cards are fewer than twice {arguments.count}.")
        return 1
    report(cards[: arguments.count], cards[arguments.count : 2 * arguments.count], arguments.seed)
    return 0


def shuffled(folder: Path, size: str, seed: int) -> Cards:
    """Read a folder of pictures in random order."""
    with tempfile.TemporaryDirectory() as place:
        cards = np.array(prepare(folder, Path(place) / "data", *parse_size(size)).cards)
    return np.random.default_rng(seed).permutation(cards)


def report(half: Cards, other: Cards, seed: int) -> None:
    """Print a line for each harm."""
    real = Sample(half, features.features(half))
    print(f"{'other real cards':26}" + "".join(f"{heading:>11}" for heading in HEADINGS), flush=True)
    for name, harm in harms(seed).items():
        harmed = harm(other)
        values = compare(real, Sample(harmed, features.features(harmed)), seed)
        print(f"{name:26}" + "".join(f"{values[column]:11.3f}" for column in COLUMNS), flush=True)


def harms(seed: int) -> dict[str, Harm]:
    """Name what is done to the other cards."""
    blurs = {f"blur, sigma {sigma:g}": blur(sigma) for sigma in (0.5, 1, 2, 4)}
    jpegs = {f"JPEG, quality {quality}": jpeg(quality) for quality in (80, 40, 15, 5)}
    noises = {f"noise, sigma {sigma}": noise(sigma, seed) for sigma in (5, 15, 40, 80)}
    repeats = {f"{count} pictures repeated": repeat(count) for count in (100, 25, 5)}
    return {"unharmed": np.asarray} | blurs | jpegs | noises | repeats


def each(change: Callable[[Image.Image], Image.Image]) -> Harm:
    """Change every card as a picture."""
    return lambda cards: np.stack([np.asarray(change(Image.fromarray(card))) for card in cards])


def blur(sigma: float) -> Harm:
    """Smooth with a Gaussian."""
    return each(lambda picture: picture.filter(ImageFilter.GaussianBlur(sigma)))


def jpeg(quality: int) -> Harm:
    """Store with loss."""

    def stored(picture: Image.Image) -> Image.Image:
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=quality)
        return Image.open(file).convert("RGB")

    return each(stored)


def noise(sigma: int, seed: int) -> Harm:
    """Add normal noise."""

    def noisy(cards: Cards) -> Cards:
        added = np.random.default_rng(seed).normal(0, sigma, cards.shape)
        return np.clip(np.round(cards + added), 0, 255).astype(np.uint8)

    return noisy


def repeat(count: int) -> Harm:
    """Show the first few again and again: every picture is good, and most kinds are missing."""
    return lambda cards: cards[np.arange(len(cards)) % count]


if __name__ == "__main__":
    sys.exit(main())
