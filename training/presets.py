"""The presets: each a function from a card's size to a Config. LOG.md has what came of each."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from training.config import BadConfig, Config

BATCH_PIXELS = 2**21
"""Of all cards in a batch on a GPU: 256 cards of 80x112 were trained within 9 GB."""


SIDES = range(8, 1025)
"""Of a card, in pixels."""


def in_range(height: int, width: int) -> bool:
    """Tell whether both are sides that a card may have."""
    return height in SIDES and width in SIDES


def halvings(height: int, width: int) -> int:
    """Count how often a card can be halved before its shorter side has 4 to 7 pixels, or one side is odd.

    Raises BadConfig if it cannot be halved, or if networks would have to start from more than twice that.
    """
    count, low, narrow = halved(height, width)
    if not drawable(height, width):
        raise BadConfig(
            f"{width}x{height} cannot be halved often enough: networks would start from {narrow}x{low}. "
            f"Near it are {' and '.join(sizes_near(height, width))}: holofoil prepare FOLDER DATA --size; "
            "--size auto chooses one by the pictures."
        )
    return count


def halved(height: int, width: int) -> tuple[int, int, int]:
    """Return how often a card can be halved, and its height and width then."""
    count = 0
    while min(height, width) > 7 and height % 2 == width % 2 == 0:
        height, width, count = height // 2, width // 2, count + 1
    return count, height, width


def drawable(height: int, width: int) -> bool:
    """Tell whether there are networks for such a card."""
    count, low, narrow = halved(height, width)
    return count > 0 and min(low, narrow) <= 14


def sizes_near(height: int, width: int) -> list[str]:
    """Return the nearest size that networks can draw and is smaller, and the nearest that is larger."""

    def distance(size: tuple[int, int]) -> float:
        tall, wide = math.log(size[0] / height), math.log(size[1] / width)
        return 2 * abs(wide - tall) + abs(wide + tall)

    scales = [2**count for count in range(1, 9)]
    sizes = {
        (scale * (height // scale + down), scale * (width // scale + right))
        for scale in scales
        for down in (0, 1)
        for right in (0, 1)
    }
    drawn = sorted((size for size in sizes if in_range(*size) and drawable(*size)), key=distance)
    smaller = [size for size in drawn if math.prod(size) < height * width]
    larger = [size for size in drawn if math.prod(size) > height * width]
    return [f"{size[1]}x{size[0]}" for size in [*smaller[:1], *larger[:1]]]


def growing(height: int, width: int) -> list[str]:
    """Name the presets whose networks for cards of half the sides are a part of those for these cards."""
    found: list[str] = []
    for name, preset in PRESETS.items():
        try:
            small, large = preset(height // 2, width // 2), preset(height, width)
        except BadConfig:
            continue
        if small.channels and small.channels == large.channels[:-1]:
            found.append(name)
    return found


def widths(levels: int, highest: int, most: int) -> tuple[int, ...]:
    """Return feature maps from the lowest resolution up: `highest` at the top, doubling down to `most`."""
    return tuple(min(most, highest * 2**level) for level in reversed(range(levels)))


def dcgan_r1(height: int, width: int) -> Config:
    """Build the repaired DCGAN: recognisable cards within minutes on a CPU, and stable.

    Logits in place of a sigmoid, R1 (Mescheder 2018), 4x4 kernels at stride 2, batch normalisation in all
    of the generator and none of the discriminator, separate passes, an averaged generator, and negatives,
    so that the discriminator also knows what is no card.
    """
    levels = halvings(height, width)
    return Config(
        preset="dcgan-r1",
        height=height,
        width=width,
        networks="dcgan",
        noise_size=128,
        channels=widths(levels, 48 if levels <= 3 else max(16, 512 >> levels), 192),
        loss="non_saturating",
        r1=height * width / 400,  # 10 at 64x64: the norm sums over pixels
        negatives=2,
        learning_rate=5e-4,
        beta_1=0.5,
        beta_2=0.99,
        average_half_life=10_000,
        batch=32,
        images=100_000,
    )


def nano(height: int, width: int) -> Config:
    """Build the preset for a CPU and minutes: the repaired DCGAN, relativistic, R1 at every fourth step.

    It shows a card's layout soonest; after 50,000 images it learns little more.
    """
    return replace(
        dcgan_r1(height, width),
        preset="nano",
        upsampling="nearest",
        loss="relativistic",
        r1_every=4,
        final_learning_rate=5e-5,
        average_half_life=20_000,
        images=100_000,
    )


def tiny(height: int, width: int) -> Config:
    """Build the preset for a CPU and some 45 minutes: nano, wider, with a projected discriminator.

    That one looks at a quarter of the cards: the others are seen in the time that it saves.
    """
    levels = halvings(height, width)
    return replace(
        nano(height, width),
        preset="tiny",
        projected=1.0,
        projected_every=4,
        channels=widths(levels, max(16, 512 >> levels), 256),
        images=150_000,
    )


def base(height: int, width: int) -> Config:
    """Build the preset for a GPU: tiny with heavier heads on features, a larger batch and a million images.

    A GPU waits for its next order in a small batch. Of large cards fewer fit into its memory.
    """
    start = tiny(height, width)
    batch = max(32, min(256, 2 ** round(math.log2(BATCH_PIXELS / (height * width)))))
    rate = 5e-5 * batch**0.5  # the noise of Adam's steps falls with the root of the batch
    return replace(
        start.with_batch(batch),
        preset="base",
        projected=4.0,
        projected_every=1,
        r1=4 * start.r1,
        learning_rate=rate,
        final_learning_rate=rate / 10,
        images=1_000_000,
        sample_every=100_000,
        checkpoint_every=100_000,
        evaluate_every=100_000,
        steer_every=20_000,
        examine_every=100_000,
    )


def r3(height: int, width: int) -> Config:
    """Build R3GAN's recipe (Huang 2024) at a CPU's widths: residual, no norm, RpGAN with R1 and R2."""
    return Config(
        preset="r3",
        height=height,
        width=width,
        networks="residual",
        noise_size=64,
        channels=widths(halvings(height, width) + 1, 16, 128),
        loss="relativistic",
        r1=residual_penalty(height, width),
        r2=residual_penalty(height, width),
        final_penalty=0.1,
        learning_rate=2e-4,
        final_learning_rate=5e-5,
        beta_1=0.0,
        beta_2=0.99,
        average_half_life=20_000,
        batch=32,
        images=300_000,
    )


def residual_penalty(height: int, width: int) -> float:
    """Return gamma for residual networks: 2 at 64x64, 100 at 256x256, a power of the pixels between."""
    return 2.0 * (height * width / 64**2) ** 1.41


def hinge_sn(height: int, width: int) -> Config:
    """Build SN-GAN's recipe (Miyato 2018) on the DCGAN: hinge loss, spectral norm in place of a penalty.

    The norm holds the convolutions; the paper's holds the layer that reads the logit too.
    """
    return replace(
        dcgan_r1(height, width),
        preset="hinge-sn",
        loss="hinge",
        spectral_norm=True,
        r1=0.0,
        learning_rate=2e-4,
    )


def seed(height: int, width: int) -> Config:
    """Build the question's recipe as posted, so that its failure can be reproduced.

    Its discriminator is really trained, as Keras 2 did; in Keras 3 the posted code never trains it.
    The posted batch was 256.
    """
    return Config(
        preset="seed",
        height=height,
        width=width,
        networks="posted",
        noise_size=100,
        loss="posted",
        r1=0.0,
        augment=0.0,
        mixed_batch=True,
        predicted_fakes=True,
        precision="float32",
        learning_rate=2e-4,
        beta_1=0.5,
        beta_2=0.999,
        average_half_life=0,
        batch=256,
        images=100_000,
    )


def smoke(height: int, width: int) -> Config:
    """Build a run of seconds, for tests and for a first look."""
    return replace(
        dcgan_r1(height, width),
        preset="smoke",
        channels=widths(halvings(height, width), 8, 16),
        noise_size=16,
        upsampling="nearest",
        precision="float32",
        augment=0.0,
        evaluate_every=0,
        batch=8,
        negatives=1,
        images=64,
    )


PRESETS: dict[str, Callable[[int, int], Config]] = {
    "nano": nano,
    "tiny": tiny,
    "base": base,
    "dcgan-r1": dcgan_r1,
    "r3": r3,
    "hinge-sn": hinge_sn,
    "seed": seed,
    "smoke": smoke,
}
AUTO = "auto"
QUICK = 0.2
"""Hours below which nano shows more on a CPU: tiny overtakes it within minutes, and leaves it behind."""


def suiting(gpu: bool, hours: float | None) -> str:
    """Choose a preset by the machine, and by the hours there are if that is known."""
    if gpu:
        return "base"
    return "nano" if hours is not None and hours < QUICK else "tiny"


def configure(preset: str, height: int, width: int, **changes: object) -> Config:
    """Build a preset for cards of this size and change some of its fields. Raises BadConfig."""
    if preset not in PRESETS:
        raise BadConfig(f"There is no preset {preset!r}. Choose one of: {', '.join([AUTO, *PRESETS])}.")
    config = PRESETS[preset](height, width)
    batch: Any = changes.pop("batch", config.batch)
    return replace(config.with_batch(batch), **changes)
