"""Cheap numbers of every step for the doctor, beside the losses, computed on the same device."""

import tensorflow as tf

from training.models import Networks

Metrics = dict[str, tf.Tensor]
NAMES = (
    "real_logit",
    "fake_logit",
    "d_gradient",
    "g_gradient",
    "real_low",
    "real_high",
    "real_spread",
    "fake_spread",
)

FEW = 8
"""Cards of a batch whose spread is measured: a line of the log is the mean of many batches."""


def of_real(cards: tf.Tensor) -> Metrics:
    """Return the lowest and highest pixel of cards (n, height, width, 3), and how far pixels spread."""
    return {
        "real_low": tf.reduce_min(cards),
        "real_high": tf.reduce_max(cards),
        "real_spread": contrast(cards),
    }


def of_fake(cards: tf.Tensor) -> Metrics:
    """Return how far the pixels of generated cards spread."""
    return {"fake_spread": contrast(cards)}


def contrast(cards: tf.Tensor) -> tf.Tensor:
    """Return the root of the mean variance of the pixels within a card, over a few of the cards."""
    cards = cards[:FEW]
    means = tf.reduce_mean(cards, axis=[1, 2, 3], keepdims=True)
    return tf.sqrt(tf.reduce_mean(tf.square(cards - means)))


class Movement:
    """How far each network has moved since it was last asked about; the weights stay on the device."""

    def __init__(self, networks: Networks) -> None:
        self.players = {"d_moved": networks.discriminator, "g_moved": networks.generator}
        self.before = self.weights()

    def __call__(self) -> dict[str, float]:
        """Return the norm of the change in terms of the weights' own; 0 for a network that stood still."""
        now = self.weights()
        moved = {name: float(change(self.before[name], now[name])) for name in now}
        self.before = now
        return moved

    def weights(self) -> dict[str, list[tf.Tensor]]:
        """Copy what each player may learn."""
        return {
            name: [tf.identity(weight.value) for weight in player.trainable_variables]
            for name, player in self.players.items()
        }


@tf.function(reduce_retracing=True, autograph=False)
def change(before: list[tf.Tensor], after: list[tf.Tensor]) -> tf.Tensor:
    """Return the norm of the difference in terms of the norm before."""
    difference = tf.linalg.global_norm([b - a for a, b in zip(before, after, strict=True)])
    return difference / (tf.linalg.global_norm(before) + 1e-12)
