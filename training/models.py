"""The networks: noise (n, z) -> cards (n, height, width, 3) in [-1, 1], and cards -> logits (n,)."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any

import keras
import tensorflow as tf
from keras import layers

from training.config import Config

# Far apart, so that no layer of one network starts with the draw of another's.
GENERATOR_SEED = 0
DISCRIMINATOR_SEED = 1_000_000

LABEL_SIZE = 32
"""Numbers that tell the generator which kind of card to draw, beside the noise."""

FEATURES = "features"
"""The layer up to which a discriminator sees the card alone; the label only meets what it gives."""


def generator(config: Config) -> keras.Model:
    """Build the generator that the config names, its weights drawn from config.seed."""
    return GENERATORS[config.networks](config)


def discriminator(config: Config) -> keras.Model:
    """Build the discriminator that the config names, its weights drawn from config.seed."""
    return DISCRIMINATORS[config.networks](config)


def normal_inits(first_seed: int) -> Iterator[Any]:
    """Yield N(0, 0.02), the DCGAN paper's start, with a seed of its own for every layer."""
    return (keras.initializers.RandomNormal(0.0, 0.02, seed=seed) for seed in count(first_seed))


def glorot_inits(first_seed: int) -> Iterator[Any]:
    """Yield Keras' default start, with a seed of its own for every layer."""
    return (keras.initializers.GlorotUniform(seed=seed) for seed in count(first_seed))


def dcgan_generator(config: Config) -> keras.Model:
    """4x4 transposed convolutions at stride 2: the kernel is a multiple of the stride, so no checkerboard."""
    inits = normal_inits(GENERATOR_SEED + config.seed)
    height, width = config.base_grid()
    lowest, *higher = config.channels

    noise = keras.Input((config.noise_size,), name="noise")
    inputs, x = noise, noise
    if config.classes:
        label = label_input()
        inputs = [noise, label]
        kind = layers.Dense(LABEL_SIZE, use_bias=False, kernel_initializer=next(inits))(
            one_hot(label, config)
        )
        x = layers.Concatenate()([noise, kind])
    # A bias before batch normalisation is undone by it: none here.
    x = layers.Dense(height * width * lowest, use_bias=False, kernel_initializer=next(inits))(x)
    x = normalised_relu(layers.Reshape((height, width, lowest))(x))
    for channels in higher:
        x = layers.Conv2DTranspose(channels, 4, 2, "same", use_bias=False, kernel_initializer=next(inits))(x)
        x = normalised_relu(x)
    cards = layers.Conv2DTranspose(3, 4, 2, "same", activation="tanh", kernel_initializer=next(inits))(x)
    return keras.Model(inputs, cards, name="generator")


def label_input() -> keras.KerasTensor:
    """Return the input of labels, int32 (n,), each an index into config.classes."""
    return keras.Input((), dtype="int32", name="label")


def one_hot(label: keras.KerasTensor, config: Config) -> keras.KerasTensor:
    """Return labels as rows (n, classes): a matrix product has the second derivatives a look-up lacks."""
    return layers.CategoryEncoding(len(config.classes), output_mode="one_hot")(label)


def normalised_relu(x: keras.KerasTensor) -> keras.KerasTensor:
    """Batch normalisation that follows within a few hundred steps, then ReLU."""
    return layers.ReLU()(layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(x))


def dcgan_discriminator(config: Config) -> keras.Model:
    """4x4 convolutions at stride 2, no normalisation: a score must not depend on the rest of the batch."""
    inits = normal_inits(DISCRIMINATOR_SEED + config.seed)
    cards = keras.Input((config.height, config.width, 3), name="cards")
    x = cards
    for channels in reversed(config.channels):
        x = layers.Conv2D(channels, 4, 2, "same", kernel_initializer=next(inits))(x)
        x = layers.LeakyReLU(0.2)(x)
    x = layers.Flatten(name=FEATURES)(x)
    logit = layers.Dense(1, kernel_initializer=next(inits))(x)
    if not config.classes:
        return keras.Model(cards, layers.Reshape(())(logit), name="discriminator")
    # Projection (Miyato and Koyama 2018): the label's direction among the features adds to the logit.
    label = label_input()
    kind = layers.Dense(x.shape[1], use_bias=False, kernel_initializer=next(inits))(one_hot(label, config))
    logit = layers.Add()([logit, layers.Dot(1)([x, kind])])
    return keras.Model([cards, label], layers.Reshape(())(logit), name="discriminator")


def posted_generator(config: Config) -> keras.Model:
    """The question's generator to the letter: 994,144 parameters."""
    inits = glorot_inits(GENERATOR_SEED + config.seed)

    def transposed(channels: int, kernel: int, stride: int, activation: str | None = None) -> layers.Layer:
        return layers.Conv2DTranspose(
            channels,
            kernel,
            stride,
            "same",
            use_bias=False,
            activation=activation,
            kernel_initializer=next(inits),
        )

    noise = keras.Input((config.noise_size,), name="noise")
    x = layers.Dense(8 * 8 * 64, kernel_initializer=next(inits))(noise)
    x = layers.LeakyReLU()(layers.BatchNormalization()(x))
    x = layers.Reshape((8, 8, 64))(x)
    for channels, stride in ((128, 1), (64, 2), (64, 2), (32, 2)):
        x = layers.LeakyReLU()(transposed(channels, 5, stride)(x))
    return keras.Model(noise, transposed(3, 3, 1, "tanh")(x), name="generator")


def posted_discriminator(config: Config) -> keras.Model:
    """The question's discriminator, 263,073 parameters; its sigmoid stands in the loss."""
    inits = glorot_inits(DISCRIMINATOR_SEED + config.seed)
    cards = keras.Input((64, 64, 3), name="cards")
    x = cards
    for channels, stride in ((64, 1), (64, 2), (64, 2), (32, 2)):
        x = layers.Conv2D(channels, 5, stride, "same", kernel_initializer=next(inits))(x)
        x = layers.Dropout(0.3, seed=config.seed)(layers.LeakyReLU()(x))
    logit = layers.Dense(1, kernel_initializer=next(inits))(layers.Flatten()(x))
    return keras.Model(cards, layers.Reshape(())(logit), name="discriminator")


def to_unit(cards: tf.Tensor) -> tf.Tensor:
    """Scale uint8 pixels to float32 in [-1, 1], the range of the generator's tanh."""
    return tf.cast(cards, tf.float32) / 127.5 - 1.0


def to_pixels(cards: tf.Tensor) -> tf.Tensor:
    """Scale [-1, 1] to uint8 pixels, the inverse of to_unit."""
    return tf.cast(tf.round(tf.clip_by_value(127.5 * (cards + 1.0), 0.0, 255.0)), tf.uint8)


GENERATORS = {"dcgan": dcgan_generator, "posted": posted_generator}
DISCRIMINATORS = {"dcgan": dcgan_discriminator, "posted": posted_discriminator}


@dataclass(frozen=True)
class Networks:
    """Both players, and the generator that is exported."""

    generator: keras.Model
    discriminator: keras.Model
    average: keras.Model  # exponential moving average of the generator

    @staticmethod
    def build(config: Config) -> "Networks":
        """Build all three; the average starts as a copy."""
        generator_, average = generator(config), generator(config)
        average.set_weights(generator_.get_weights())
        return Networks(generator_, discriminator(config), average)

    def parts(self) -> dict[str, keras.Model]:
        """Name the three, as checkpoints do."""
        return {"generator": self.generator, "discriminator": self.discriminator, "average": self.average}
