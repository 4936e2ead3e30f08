"""The networks: noise (n, z) -> cards (n, height, width, 3) in [-1, 1], and cards -> logits (n,)."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers
from numpy.typing import NDArray

from training.config import Config
from training.projected import Projected
from training.spectral_norm import SpectralNorm, start_bounds

LABEL_SIZE = 32
"""Numbers that tell the generator which kind of card to draw, beside the noise."""

FEATURES = "features"
"""Name of the last layer whose output depends on the card alone; the label comes in after it."""


def generator(config: Config) -> keras.Model:
    """Build the generator that the config names, its weights drawn from config.seed."""
    return GENERATORS[config.networks](config, config.layer_seeds(0))


def discriminator(config: Config) -> keras.Model:
    """Build the discriminator that the config names, its weights drawn from config.seed."""
    return DISCRIMINATORS[config.networks](config, config.layer_seeds(1))


Tensor = Any  # a keras.KerasTensor; Keras' layers do not say what they return
Init = Any  # a Keras initializer
Seeds = Iterator[int]  # one for every layer of a network


def normal_inits(seeds: Seeds) -> Iterator[Init]:
    """Yield N(0, 0.02), the DCGAN paper's start, for one layer after another."""
    return (keras.initializers.RandomNormal(0.0, 0.02, seed=seed) for seed in seeds)


def glorot_inits(seeds: Seeds) -> Iterator[Init]:
    """Yield Keras' default start, for one layer after another."""
    return (keras.initializers.GlorotUniform(seed=seed) for seed in seeds)


def he_inits(seeds: Seeds) -> Iterator[Init]:
    """Yield He 2015's start, which keeps the variance behind a rectifier, for one layer after another."""
    return (keras.initializers.HeNormal(seed=seed) for seed in seeds)


def generator_inputs(config: Config, init: Init) -> tuple[Tensor, Tensor]:
    """Return the generator's inputs, and the rows (n, noise or more) that its first layer is given."""
    noise = keras.Input((config.noise_size,), name="noise")
    if not config.classes:
        return noise, noise
    label = label_input()
    kind = layers.Dense(LABEL_SIZE, use_bias=False, kernel_initializer=init)(one_hot(label, config))
    return [noise, label], layers.Concatenate()([noise, kind])


def judged(config: Config, cards: Tensor, x: Tensor, inits: Iterator[Init]) -> keras.Model:
    """Return the discriminator whose logits are read from the maps x (n, height, width, channels).

    With labels it is a projection discriminator (Miyato and Koyama 2018): the direction of a card's kind
    among the features adds to its logit.
    """
    x = layers.Flatten(name=FEATURES)(x)
    logit = layers.Dense(1, kernel_initializer=next(inits))(x)
    if not config.classes:
        return keras.Model(cards, layers.Reshape(())(logit), name="discriminator")
    label = label_input()
    kind = layers.Dense(x.shape[1], use_bias=False, kernel_initializer=next(inits))(one_hot(label, config))
    logit = layers.Add()([logit, layers.Dot(1)([x, kind])])
    return keras.Model([cards, label], layers.Reshape(())(logit), name="discriminator")


def label_input() -> Tensor:
    """Return the input of labels, int32 (n,), each an index into config.classes."""
    return keras.Input((), dtype="int32", name="label")


def one_hot(label: Tensor, config: Config) -> Tensor:
    """Return labels as rows (n, classes): a matrix product has the second derivatives a look-up lacks."""
    return layers.CategoryEncoding(len(config.classes), output_mode="one_hot")(label)


def dcgan_generator(config: Config, seeds: Seeds) -> keras.Model:
    """DCGAN (Radford 2015): transposed convolutions, batch normalisation after each but the last.

    Kernels are 4x4 at stride 2: a multiple of the stride leaves no checkerboard (Odena 2016).
    """
    inits = normal_inits(seeds)
    height, width = config.base_grid()
    lowest, *higher = config.channels
    inputs, x = generator_inputs(config, next(inits))
    x = layers.Dense(height * width * lowest, use_bias=False, kernel_initializer=next(inits))(x)
    x = normalised_relu(layers.Reshape((height, width, lowest))(x))
    for channels in higher:
        x = normalised_relu(doubled(config, x, channels, next(inits)))
    cards = doubled(config, x, 3, next(inits), "tanh")
    return keras.Model(inputs, cards, name="generator")


def doubled(config: Config, x: Tensor, channels: int, init: Init, activation: str | None = None) -> Tensor:
    """Double both sides and convolve, by a free 4x4 kernel or as nearest neighbours and a 3x3 convolution.

    A bias before batch normalisation is undone by it: there is one only where an activation follows at once.
    """
    options: Any = {
        "activation": activation,
        "use_bias": activation is not None,
        "kernel_initializer": init,
    }
    if config.upsampling == "transposed":
        return layers.Conv2DTranspose(channels, 4, 2, "same", **options)(x)
    return NearestConv2D(channels, 3, 2, "same", **options)(x)


class NearestConv2D(layers.Conv2DTranspose):
    """Each pixel becomes four equal ones, then a 3x3 convolution: folded into one of 4x4, transposed.

    It is the same function for 4/9 of the multiplications. A free 4x4 kernel gives each of the four pixels
    weights of their own, and draws a grid until it has learnt not to (Odena 2016).
    """

    def call(self, inputs: Tensor) -> Tensor:
        """Convolve (n, height, width, channels) to twice the sides."""
        outputs = keras.ops.conv_transpose(inputs, folded(self.kernel), 2, "same")
        outputs = outputs if self.bias is None else keras.ops.add(outputs, self.bias)
        return self.activation(outputs)


def folded(kernel: Tensor) -> Tensor:
    """Return the kernel (4, 4, out, in) that lays one of (3, 3, out, in) on both of two equal pixels."""
    pad: Any = keras.ops.pad
    rows = pad(kernel, [[1, 0], [0, 0], [0, 0], [0, 0]]) + pad(kernel, [[0, 1], [0, 0], [0, 0], [0, 0]])
    return pad(rows, [[0, 0], [1, 0], [0, 0], [0, 0]]) + pad(rows, [[0, 0], [0, 1], [0, 0], [0, 0]])


def normalised_relu(x: Tensor) -> Tensor:
    """Batch normalisation whose averages follow quickly, then ReLU."""
    return layers.ReLU()(layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(x))


def dcgan_discriminator(config: Config, seeds: Seeds) -> keras.Model:
    """4x4 convolutions at stride 2, no normalisation: a score must not depend on the rest of the batch."""
    inits = normal_inits(seeds)
    cards = keras.Input((config.height, config.width, 3), name="cards")
    x = cards
    for channels in reversed(config.channels):
        convolution = layers.Conv2D(channels, 4, 2, "same", kernel_initializer=next(inits))
        x = layers.LeakyReLU(0.2)(bounded(config, convolution)(x))
    network = judged(config, cards, x, inits)
    start_bounds(network, seeds)
    return network


def bounded(config: Config, layer: layers.Layer) -> layers.Layer:
    """Hold a layer's largest singular value at 1 (Miyato 2018), if the recipe bounds slopes that way."""
    return SpectralNorm(layer) if config.spectral_norm else layer


def residual_generator(config: Config, seeds: Seeds) -> keras.Model:
    """A residual network without normalisation, after R3GAN (Huang 2024) with plain 3x3 convolutions."""
    inits = he_inits(seeds)
    height, width = config.base_grid()
    lowest, *higher = config.channels
    inputs, x = generator_inputs(config, next(inits))
    x = layers.Dense(height * width * lowest, kernel_initializer=next(inits))(x)
    x = residual_block(layers.Reshape((height, width, lowest))(x), inits)
    for channels in higher:
        x = residual_block(resized_width(layers.UpSampling2D(2)(x), channels, inits), inits)
    # Linear against reals in [-1, 1]; to_pixels clips.
    return keras.Model(inputs, layers.Conv2D(3, 1, kernel_initializer=next(inits))(x), name="generator")


def residual_discriminator(config: Config, seeds: Seeds) -> keras.Model:
    """The generator's mirror image, with mean pooling."""
    inits = he_inits(seeds)
    cards = keras.Input((config.height, config.width, 3), name="cards")
    highest, *lower = reversed(config.channels)
    x = residual_block(layers.Conv2D(highest, 1, kernel_initializer=next(inits))(cards), inits)
    for channels in lower:
        x = residual_block(resized_width(layers.AveragePooling2D(2)(x), channels, inits), inits)
    return judged(config, cards, x, inits)


def residual_block(x: Tensor, inits: Iterator[Init]) -> Tensor:
    """Add to x what two convolutions make of it; the last starts at zero, so a block starts as identity."""
    channels = x.shape[-1]
    y = layers.Conv2D(channels, 3, padding="same", kernel_initializer=next(inits))(layers.LeakyReLU(0.2)(x))
    y = layers.Conv2D(channels, 3, padding="same", kernel_initializer="zeros")(layers.LeakyReLU(0.2)(y))
    return layers.Add()([x, y])


def resized_width(x: Tensor, channels: int, inits: Iterator[Init]) -> Tensor:
    """Bring x to this many channels."""
    if x.shape[-1] == channels:
        return x
    return layers.Conv2D(channels, 1, use_bias=False, kernel_initializer=next(inits))(x)


def posted_generator(config: Config, seeds: Seeds) -> keras.Model:
    """The question's generator to the letter: 994,144 parameters."""
    inits = glorot_inits(seeds)

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


def posted_discriminator(config: Config, seeds: Seeds) -> keras.Model:
    """The question's discriminator, 263,073 parameters; its sigmoid stands in the loss."""
    inits = glorot_inits(seeds)
    cards = keras.Input((64, 64, 3), name="cards")
    x = cards
    for channels, stride in ((64, 1), (64, 2), (64, 2), (32, 2)):
        x = layers.Conv2D(channels, 5, stride, "same", kernel_initializer=next(inits))(x)
        x = layers.Dropout(0.3, seed=config.seed)(layers.LeakyReLU()(x))
    return judged(config, cards, x, inits)


def answer(network: keras.Model, rows: tf.Tensor, labels: tf.Tensor, training: bool) -> tf.Tensor:
    """Call either network, with the labels int32 (n,) if it takes any; float32 whatever it computes in."""
    inputs = [rows, labels] if len(network.inputs) > 1 else rows
    return tf.cast(network(inputs, training=training), tf.float32)


def to_unit(cards: tf.Tensor) -> tf.Tensor:
    """Scale uint8 pixels to float32 in [-1, 1], the range of the generator's tanh."""
    return tf.cast(cards, tf.float32) / 127.5 - 1.0


def to_pixels(cards: tf.Tensor) -> tf.Tensor:
    """Scale [-1, 1] to uint8 pixels, the inverse of to_unit."""
    return tf.cast(tf.round(tf.clip_by_value(127.5 * (cards + 1.0), 0.0, 255.0)), tf.uint8)


def draw(generator: keras.Model, noise: tf.Tensor, labels: tf.Tensor) -> NDArray[np.uint8]:
    """Draw cards uint8 (n, height, width, 3) as the exported model will; labels int32 (n,), for its kinds."""
    return to_pixels(answer(generator, noise, labels, training=False)).numpy()


GENERATORS = {"dcgan": dcgan_generator, "residual": residual_generator, "posted": posted_generator}
DISCRIMINATORS = {
    "dcgan": dcgan_discriminator,
    "residual": residual_discriminator,
    "posted": posted_discriminator,
}


@dataclass(frozen=True)
class Networks:
    """The players, and the generator that is exported."""

    generator: keras.Model
    discriminator: keras.Model
    average: keras.Model  # exponential moving average of the generator
    projected: Projected | None = None  # a second discriminator, if the recipe has one

    @staticmethod
    def build(config: Config) -> "Networks":
        """Build them all; the average starts as a copy."""
        generator_, average = generator(config), generator(config)
        average.set_weights(generator_.get_weights())
        projected = Projected(config) if config.projected else None
        return Networks(generator_, discriminator(config), average, projected)

    def parts(self) -> dict[str, keras.Model]:
        """Name those that change, as checkpoints do."""
        parts = {"generator": self.generator, "discriminator": self.discriminator, "average": self.average}
        return parts | ({"projected": self.projected.heads} if self.projected else {})
