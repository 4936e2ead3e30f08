"""What a run costs: computation, memory and time, told before it starts."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, cast

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from training.config import RESIDENT, BadConfig, Config
from training.dataset import Dataset
from training.losses import LOSSES
from training.models import NearestConv2D, discriminator, folded, generator
from training.presets import PRESETS, drawable
from training.projected import Projected
from training.spectral_norm import SpectralNorm

FLOAT = 4  # bytes
RUNTIME = 0.64e9
"""Bytes of a process that has imported TensorFlow and traced a step of the smallest networks."""
DAY = 24 * 3600.0  # seconds

COUNTED = (layers.Dense, layers.Conv2D, layers.Conv2DTranspose, layers.DepthwiseConv2D)
PRODUCTS = {"Matmul", "Einsum", "Dot", "Tensordot", "Conv", "ConvTranspose", "DepthwiseConv", "SeparableConv"}
"""Operations of keras.ops that multiply what no layer counts."""


class UnknownLayer(TypeError):
    """A layer whose multiplications this file does not know how to count."""


@dataclass(frozen=True)
class Cost:
    """What one run takes, as far as it follows from its configuration."""

    generator_parameters: int
    discriminator_parameters: int
    generator_gmac: float
    """10⁹ multiplications with addition to draw one card."""
    discriminator_gmac: float
    """The same to judge one card."""
    gflop_per_image: float
    """10⁹ floating-point operations of training for each real card shown."""
    memory: float
    """Bytes on a CPU, without the cards that the feed keeps, and without the network that judges."""


@cache
def cost(config: Config) -> Cost:
    """Count what a run with this configuration takes, on networks built for it once and thrown away."""
    drawing, judging = generator(config), discriminator(config)
    projected = Projected(config) if config.projected else None
    beside = projected_flop(projected) / config.projected_every if projected else 0.0
    return Cost(
        generator_parameters=drawing.count_params(),
        discriminator_parameters=judging.count_params(),
        generator_gmac=macs(drawing) / 1e9,
        discriminator_gmac=macs(judging) / 1e9,
        gflop_per_image=(flop(config, macs(drawing), macs(judging)) + beside) / 1e9,
        memory=memory(config, drawing, judging, projected),
    )


def macs(network: keras.Model) -> int:
    """Count the multiplications of one card's way through a network. Raises UnknownLayer."""
    return sum(operation_macs(operation) for operation in network.operations)


def operation_macs(operation: keras.Operation) -> int:
    """Count those of one layer: every weight of its kernel, once for each place where the kernel is laid."""
    if isinstance(operation, keras.Model):
        return macs(operation)
    outer = layer = cast(Any, operation)  # Keras gives shapes and kernels no types
    if isinstance(operation, SpectralNorm):
        layer = outer.layer
    if type(layer) is NearestConv2D:
        return math.prod(outer.input.shape[1:-1]) * math.prod(folded(layer.kernel).shape)
    if type(layer) in COUNTED:
        places = outer.input if isinstance(layer, layers.Conv2DTranspose) else outer.output
        return math.prod(places.shape[1:-1]) * math.prod(layer.kernel.shape)
    if isinstance(layer, layers.Dot):  # of a card's features and the direction of its kind
        return math.prod(layer.input[0].shape[1:])
    weights = operation.weights if isinstance(operation, layers.Layer) else []
    if any(len(weight.shape) > 1 for weight in weights) or type(operation).__name__ in PRODUCTS:
        raise UnknownLayer(f"{type(operation).__name__} {operation.name}: nothing here counts its products.")
    return 0


def flop(config: Config, drawing: int, judging: int) -> float:
    """Count the floating-point operations of training for each real card, two for each multiplication.

    `drawing` and `judging` are the networks' own. A pass back costs a network as much again for its inputs
    and as much again for its weights. The discriminator's step draws fakes, and takes real cards and fakes
    forth and back: G + 6 D. A penalty, at every r1_every-th step, goes back to the cards, and its gradient
    comes forth again and to the weights: 3 D. The generator's step takes its fakes forth and back, through a
    discriminator that stays as it is: 3 G + 2 D, and D for a loss that sees real cards too. Elementwise
    operations are left out.
    """
    penalties = bool(config.r1) + bool(config.r2)
    judged = 8 + 3 * penalties / config.r1_every + LOSSES[config.loss].generator_sees_real
    return 2.0 * (4 * drawing + judged * judging)


def projected_flop(projected: Projected) -> float:
    """Count those of a projected discriminator for each real card that it looks at.

    Real cards and fakes pass the frozen features, and go forth and back through the heads; then the
    generator's fakes go through both and back to the pixels, past weights that stay as they are.
    """
    return 2.0 * (4 * macs(projected.eye) + 8 * macs(projected.heads))


def memory(
    config: Config, drawing: keras.Model, judging: keras.Model, projected: Projected | None = None
) -> float:
    """Estimate a process's bytes at its largest.

    Each network has its weights and Adam's two moments, the generator its average too. Alive at once are the
    layers' outputs of two batches of drawn cards, of real cards and fakes judged, and of one more batch
    judged for each penalty. What is frozen has its weights alone, and one batch that a pass back needs.
    """
    weights = 4 * drawing.count_params() + 3 * judging.count_params()
    judged = 2 + bool(config.r1) + bool(config.r2)
    alive = 2 * outputs(drawing) + judged * outputs(judging)
    if projected:
        weights += projected.eye.count_params() + 3 * projected.heads.count_params()
        alive += (outputs(projected.eye) + 2 * outputs(projected.heads)) // config.projected_every
    return RUNTIME + FLOAT * (weights + config.batch * alive)


def outputs(network: keras.Model) -> int:
    """Count the numbers that a network's layers make of one card; those that only rename them make none."""
    renaming = (layers.InputLayer, layers.Reshape, layers.Flatten)
    made = [operation for operation in network.operations if not isinstance(operation, renaming)]
    return sum(
        outputs(operation) if isinstance(operation, keras.Model) else math.prod(operation.output.shape[1:])
        for operation in made
    )


def announce(config: Config, cards: Dataset) -> str:
    """Say what a run will take, in lines to print before it starts."""
    costs = cost(config)
    passes = config.images / len(cards.train)
    memory = costs.memory + min(cards.cards.nbytes, RESIDENT)
    return (
        f"{config.preset} at {config.width}x{config.height}: "
        f"generator {costs.generator_parameters:,} parameters and {costs.generator_gmac:.3f} GMAC a card, "
        f"discriminator {costs.discriminator_parameters:,} and {costs.discriminator_gmac:.3f}.\n"
        f"{config.images:,} images, {passes:.1f} times each of {len(cards.train):,} cards, "
        f"at {costs.gflop_per_image:.2f} GFLOP an image; about {memory / 1e9:.1f} GB of memory."
    )


def calibrate(
    step: Callable[[int], object],
    batch: int,
    seconds: float = 4.0,
    clock: Callable[[], float] = time.monotonic,
) -> float:
    """Return images/s of a step, called with 0, 1, 2 ... for so many seconds; the first call compiles it.

    Give it a step on networks of its own: what it trains is trained.
    """
    wait_for(step(0))
    started, index = clock(), 0
    while clock() - started < seconds:
        index += 1
        wait_for(step(index))
    return index * batch / (clock() - started)


def wait_for(results: object) -> None:
    """Wait until the device has computed these results."""
    tf.nest.map_structure(np.asarray, results)


def pace(config: Config, seen: int, images_per_second: float) -> str:
    """Say how long the rest of a run takes after `seen` images, and what to choose if it is over a day."""
    seconds = (config.images - seen) / images_per_second
    said = f"{images_per_second:.1f} images/s: {duration(seconds)} to go."
    return said if seconds <= DAY else f"{said}\n{advice(config, images_per_second)}"


def duration(seconds: float) -> str:
    """Write a time in the unit that suits it."""
    for unit, length in (("days", DAY), ("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}" if unit == "minutes" else f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} seconds"


def advice(config: Config, images_per_second: float) -> str:
    """Say what would be done within a day at this speed: fewer images, or cheaper networks."""
    affordable = int(images_per_second * DAY // 1000 * 1000)
    parts = [f"A day is enough for --images {affordable}"] if affordable else []
    cheaper = cheaper_presets(config)
    if cheaper:
        shares = ", ".join(f"{name} ({share:.0%} of the computation)" for name, share in cheaper.items())
        parts.append(f"cheaper at this size: --preset {shares}")
    height, width = config.height // 2, config.width // 2
    if config.height % 2 == config.width % 2 == 0 and drawable(height, width):
        parts.append(
            "half the width and height is about a quarter of the work: holofoil prepare FOLDER DATA --size "
            f"{width}x{height}"
        )
    return "; ".join(parts) + "."


def cheaper_presets(config: Config) -> dict[str, float]:
    """Return the presets that take less than half the computation, and what share, the most able first."""
    own = cost(config).gflop_per_image
    shares: dict[str, float] = {}
    for name, preset in PRESETS.items():
        try:
            other = replace(preset(config.height, config.width), classes=config.classes)
        except BadConfig:
            continue  # takes no cards of this size
        share = cost(other).gflop_per_image / own
        if other.networks != "posted" and share < 0.5:  # nobody is advised the recipe that fails
            shares[name] = share
    return dict(sorted(shares.items(), key=lambda item: -item[1]))
