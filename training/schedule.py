"""What follows from where a run stands: its learning rate, and when something is due."""

import math
from dataclasses import replace

import keras
import tensorflow as tf

from training.config import Config


def steps_of(config: Config) -> int:
    """Return how many steps show config.images real cards."""
    return math.ceil(config.images / config.batch)


def learning_rate(config: Config) -> keras.optimizers.schedules.LearningRateSchedule:
    """Fall along half a cosine from learning_rate to final_learning_rate at the end of the run.

    It is a function of the optimizer's own count of steps, so that a resumed run takes the unbroken one's
    steps. Where the end of a run is moved, the curve is drawn to the new end. A constant rate is a schedule
    too: as a variable it would come back from a checkpoint, and a halved one with it.
    """
    final = config.final_learning_rate
    share = 1.0 if final is None else final / config.learning_rate
    return keras.optimizers.schedules.CosineDecay(config.learning_rate, steps_of(config), alpha=share)


def easing(config: Config, step: tf.Tensor) -> tf.Tensor:
    """Return the factor of both gradient penalties at a step: 1 at first, final_penalty at the end.

    The penalty that keeps a young game stable holds an old one back (R3GAN, Huang 2024, falls to a tenth).
    """
    done = tf.minimum(tf.cast(step, tf.float32) / steps_of(config), 1.0)
    return config.final_penalty + (1 - config.final_penalty) * (1 + tf.cos(math.pi * done)) / 2


def slowed(config: Config, factor: float) -> Config:
    """Return the configuration with its learning rates at this factor."""
    final = config.final_learning_rate
    return replace(
        config,
        learning_rate=config.learning_rate * factor,
        final_learning_rate=None if final is None else final * factor,
    )


def due(step: int, before: int, every: int, batch: int) -> bool:
    """Tell whether a multiple of `every` images was passed between two steps; 0 is never."""
    return every > 0 and step * batch // every != before * batch // every


def next_due(step: int, every: int, batch: int) -> int:
    """Return the first step after this one by which a multiple of `every` images will be passed."""
    return math.ceil((step * batch // every + 1) * every / batch)
