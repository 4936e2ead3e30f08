"""What each augmentation costs: the time of a step's passes with it, in terms of the time without it.

    python -m tests.benchmarks.augmentation_cost [--preset dcgan-r1] [--batch 32] [--rounds 9]

The passes are both networks' gradients, the penalty's included; the optimizers are left out. All kinds take
turns, so that a busy machine slows each of them alike; processor time is what it slows least. Prints medians
as a table in Markdown.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from training.augment import augment, colour, cut_out, translate
from training.config import Config
from training.losses import LOSSES, gradient_penalty
from training.models import Networks
from training.presets import configure

CHANGES = {"colour": colour, "translation": translate, "cutout": cut_out, "all three": augment}
SIZES = [(56, 40), (112, 80)]

Change = Callable[..., tf.Tensor]
Passes = Callable[[tf.Tensor], object]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--preset", default="dcgan-r1")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    print("| size | augmentation | ms a step | without it x | processor ms a step | without it x |")
    print("|---|---|---|---|---|---|")
    for height, width in SIZES:
        print_size(configure(options.preset, height, width, batch=options.batch), options.rounds)


def print_size(config: Config, rounds: int) -> None:
    """Print the rows of one size."""
    networks = Networks.build(config)
    kinds = {"none": passes(config, networks, lambda cards, probability, seed: cards)}
    kinds |= {name: passes(config, networks, change) for name, change in CHANGES.items()}
    times = medians(kinds, rounds)
    for name, (wall, processor) in times.items():
        cells = [
            f"{wall * 1e3:.0f} | {wall / times['none'][0]:.3f}",
            f"{processor * 1e3:.0f} | {processor / times['none'][1]:.3f}",
        ]
        print(f"| {config.width}x{config.height} | {name} | {' | '.join(cells)} |", flush=True)


def passes(config: Config, networks: Networks, change: Change) -> Passes:
    """Compile both networks' gradients of one batch, each card changed with probability 0.3."""
    loss = LOSSES[config.loss]

    def judge(cards: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        return networks.discriminator(change(cards, tf.constant(0.3), seed), training=True)

    def discriminator_gradient(real: tf.Tensor, noise: tf.Tensor, seeds: list[tf.Tensor]) -> list[tf.Tensor]:
        fake = networks.generator(noise, training=True)
        with tf.GradientTape() as tape:
            with tf.GradientTape() as inputs:
                inputs.watch(real)
                real_logits = judge(real, seeds[0])
            penalty = gradient_penalty(inputs.gradient(real_logits, real))
            total = loss.discriminator(real_logits, judge(fake, seeds[1])) + config.r1 / 2 * penalty
        return tape.gradient(total, networks.discriminator.trainable_variables)

    def generator_gradient(real: tf.Tensor, noise: tf.Tensor, seeds: list[tf.Tensor]) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            fake_logits = judge(networks.generator(noise, training=True), seeds[2])
            total = loss.generator(tf.zeros(config.batch), fake_logits)
        return tape.gradient(total, networks.generator.trainable_variables)

    @tf.function(autograph=False)
    def both(real: tf.Tensor, index: tf.Tensor) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
        seeds = tf.unstack(tf.random.split(tf.random.fold_in(tf.constant([1, 2]), index), 4))
        noise = tf.random.stateless_normal((config.batch, config.noise_size), seeds[3])
        return discriminator_gradient(real, noise, seeds), generator_gradient(real, noise, seeds)

    real = tf.random.stateless_uniform((config.batch, config.height, config.width, 3), [1, 2], -1, 1)
    return lambda index: both(real, index)


def medians(kinds: dict[str, Passes], rounds: int) -> dict[str, tuple[float, float]]:
    """Return seconds for each kind, by the wall and of the processors; the first round only traces."""
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in kinds}
    for index in range(rounds + 1):
        for name, run in kinds.items():
            wall, processor = time.perf_counter(), time.process_time()
            tf.nest.map_structure(np.asarray, run(tf.constant(index)))
            seconds[name].append((time.perf_counter() - wall, time.process_time() - processor))
    return {
        name: tuple(statistics.median(column) for column in zip(*values[1:], strict=True))
        for name, values in seconds.items()
    }


if __name__ == "__main__":
    main()
