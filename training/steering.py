"""Measures for the controller what the discriminator says of training, held-out and generated cards."""

import numpy as np
import tensorflow as tf

from training.augment import augment
from training.config import Config
from training.controller import overfitting
from training.dataset import Dataset
from training.models import Networks, answer, to_unit

JUDGED = 128  # cards of each kind, or as many as there are


class Steering:
    """Measures r_v, the discriminator's overfitting, on training cards, held-out cards and generated ones."""

    def __init__(self, config: Config, networks: Networks, cards: Dataset) -> None:
        self.config = config
        self.networks = networks
        self.cards = cards
        self.known, self.unknown = (min(JUDGED, len(split)) for split in (cards.train, cards.holdout))
        self.judge = tf.function(self.logits, autograph=False)

    def look(self, step: int, probability: float) -> dict[str, float]:
        """Return "r_v" after a step, all cards augmented as in training, and the mean "held_logit".

        Which cards are judged, and how they are augmented, follows from (config.seed, step) alone.
        """
        random = np.random.Generator(np.random.Philox([self.config.seed, 1, step]))
        rows = np.concatenate(
            [
                random.choice(self.cards.train, self.known, replace=False),
                random.choice(self.cards.holdout, self.unknown, replace=False),
            ]
        )
        logits = self.judge(
            self.cards.cards[rows],
            self.cards.labels[rows],
            tf.constant([self.config.seed, step]),
            tf.constant(probability),
        )
        known, unknown, fake = (part.numpy() for part in logits)
        held = {"held_logit": float(unknown.mean())} if len(unknown) else {}
        return {"r_v": overfitting(known, unknown, fake)} | held

    def logits(
        self, cards: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor, probability: tf.Tensor
    ) -> list[tf.Tensor]:
        """Return the logits (known,), (unknown,) and (known,) of training, held-out and generated cards."""
        noise_seed, seen_seed = tf.unstack(tf.random.split(seed))
        noise = tf.random.stateless_normal((self.known, self.config.noise_size), noise_seed)
        generated = answer(self.networks.generator, noise, labels[: self.known], training=False)
        seen = augment(tf.concat([to_unit(cards), generated], 0), probability, seen_seed)
        labels = tf.concat([labels, labels[: self.known]], 0)
        logits = answer(self.networks.discriminator, seen, labels, training=False)
        return tf.split(logits, [self.known, self.unknown, self.known])
