"""Looking at a run for the controller: what does the discriminator say of cards it knows, and of others?"""

import numpy as np
import tensorflow as tf

from training.augment import augment
from training.config import Config
from training.controller import overfitting
from training.dataset import Dataset
from training.models import Networks, answer, to_unit

JUDGED = 128  # cards of each kind, or as many as are held out


class Steering:
    """Measures r_v, the discriminator's overfitting, on training cards, held-out cards and generated ones."""

    def __init__(self, config: Config, networks: Networks, cards: Dataset) -> None:
        self.config = config
        self.networks = networks
        self.cards = cards
        self.count = min(JUDGED, len(cards.holdout))
        self.judge = tf.function(self.logits, autograph=False)

    def look(self, step: int, probability: float) -> float:
        """Return r_v after a step, all cards augmented as in training.

        Which cards are judged, and how they are augmented, follows from (config.seed, step) alone.
        """
        random = np.random.Generator(np.random.Philox([self.config.seed, 1, step]))
        rows = np.concatenate(
            [
                random.choice(split, self.count, replace=False)
                for split in (self.cards.train, self.cards.holdout)
            ]
        )
        logits = self.judge(
            self.cards.cards[rows],
            self.cards.labels[rows],
            tf.constant([self.config.seed, step]),
            tf.constant(probability),
        )
        return overfitting(*logits.numpy())

    def logits(
        self, cards: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor, probability: tf.Tensor
    ) -> tf.Tensor:
        """Return logits (3, count): of training cards, of held-out cards, and of generated ones."""
        noise_seed, seen_seed = tf.unstack(tf.random.split(seed))
        noise = tf.random.stateless_normal((self.count, self.config.noise_size), noise_seed)
        generated = answer(self.networks.generator, noise, labels[: self.count], training=False)
        seen = augment(tf.concat([to_unit(cards), generated], 0), probability, seen_seed)
        labels = tf.concat([labels, labels[: self.count]], 0)
        logits = answer(self.networks.discriminator, seen, labels, training=False)
        return tf.reshape(logits, (3, self.count))
