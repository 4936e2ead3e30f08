"""The adversarial losses and the gradient penalty: pure functions of logits.

Logits are float32 (n,), one a card; every function returns a scalar, the mean over cards.
"""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from training.config import LossName

CLIP = 1e-7
"""Keras' epsilon."""


class Loss(NamedTuple):
    """Both players' losses, each of (real logits, fake logits)."""

    discriminator: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
    generator: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
    generator_sees_real: bool = False  # the generator's loss needs the real logits too


def non_saturating_discriminator(real: tf.Tensor, fake: tf.Tensor) -> tf.Tensor:
    """Goodfellow 2014, on logits: 1.386 is full confusion."""
    return tf.reduce_mean(tf.nn.softplus(-real)) + tf.reduce_mean(tf.nn.softplus(fake))


def non_saturating_generator(real: tf.Tensor, fake: tf.Tensor) -> tf.Tensor:
    """Goodfellow 2014: its gradient does not vanish while the discriminator wins."""
    return tf.reduce_mean(tf.nn.softplus(-fake))


def posted_discriminator(real: tf.Tensor, fake: tf.Tensor) -> tf.Tensor:
    """Binary cross-entropy over one batch of reals and fakes, as posted: 0.693 is full confusion.

    Keras computes a sigmoid layer's cross-entropy from its logit, and so does this.
    """
    return non_saturating_discriminator(real, fake) / 2


def probability_discriminator(real: tf.Tensor, fake: tf.Tensor) -> tf.Tensor:
    """The same from a sigmoid's probabilities, clipped as Keras clips those whose logit it does not know.

    A logit beyond 16 has no gradient, right or wrong.
    """
    return -(tf.reduce_mean(log_probability(real)) + tf.reduce_mean(log_probability(-fake))) / 2


def probability_generator(real: tf.Tensor, fake: tf.Tensor) -> tf.Tensor:
    """The non-saturating loss from clipped probabilities: it saturates all the same, at 16.1."""
    return -tf.reduce_mean(log_probability(fake))


def log_probability(logits: tf.Tensor) -> tf.Tensor:
    """Return the logarithm of what a sigmoid makes of logits, kept CLIP away from 0 and 1."""
    return tf.math.log(tf.clip_by_value(tf.sigmoid(logits), CLIP, 1 - CLIP))


def relativistic_discriminator(real: tf.Tensor, fake: tf.Tensor) -> tf.Tensor:
    """RpGAN, Jolicoeur-Martineau 2018 and R3GAN 2024, paired by position: 0.693 is full confusion."""
    return tf.reduce_mean(tf.nn.softplus(fake - real))


def relativistic_generator(real: tf.Tensor, fake: tf.Tensor) -> tf.Tensor:
    """The same with the roles exchanged."""
    return tf.reduce_mean(tf.nn.softplus(real - fake))


def hinge_discriminator(real: tf.Tensor, fake: tf.Tensor) -> tf.Tensor:
    """Lim and Ye 2017."""
    return tf.reduce_mean(tf.nn.relu(1 - real)) + tf.reduce_mean(tf.nn.relu(1 + fake))


def hinge_generator(real: tf.Tensor, fake: tf.Tensor) -> tf.Tensor:
    """Lim and Ye 2017."""
    return -tf.reduce_mean(fake)


LOSSES: dict[LossName, Loss] = {
    "non_saturating": Loss(non_saturating_discriminator, non_saturating_generator),
    "relativistic": Loss(relativistic_discriminator, relativistic_generator, generator_sees_real=True),
    "hinge": Loss(hinge_discriminator, hinge_generator),
    "posted": Loss(posted_discriminator, non_saturating_generator),
    "probabilities": Loss(probability_discriminator, probability_generator),
}


def gradient_penalty(gradient: tf.Tensor) -> tf.Tensor:
    """R1 on real cards, R2 on generated ones (Mescheder 2018): the mean squared norm of d logit / d card.

    The gradient is (n, height, width, 3); the norm sums over pixels. The weight gamma / 2 is the caller's.
    """
    return tf.reduce_mean(tf.reduce_sum(tf.square(gradient), axis=[1, 2, 3]))
