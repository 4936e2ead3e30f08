"""The projected discriminator (Sauer 2021): small heads that judge cards by frozen image features.

It stands beside the discriminator on pixels, as in Kumari 2022, and teaches the generator shapes and textures
that the other would take many times as many cards to find. It is not exported: a score is that of the pixels.
"""

from collections.abc import Iterator
from itertools import count
from typing import Any

import keras
import tensorflow as tf
from keras import layers

from training.config import Config
from training.efficientnet import efficientnet
from training.spectral_norm import SpectralNorm, start_bounds

SHORTEST = 64
"""Pixels of the shorter side that features are worth looking at: smaller cards are enlarged first."""
WIDTH = 64  # of the mixed maps
WIDEST = 256  # of a head's
SMALLEST = 7
"""Rows of a map that a head judges without halving it."""
USUAL = (11.0, 10.0, 8.0, 3.0)
"""Root mean squares of the features of cards, drawn and scanned, at each scale: to within a tenth or so."""

ZOOMED = 0.5
"""Share of the cards that are looked at closely, where cards are large enough for it."""

AUGMENT = 1.0
"""Probability of each augmentation: heads on features learn a folder by heart sooner than pixels do."""
RATE = 0.4
"""Of the other networks' learning rate: 2e-4, the paper's, beside 5e-4."""

Tensor = Any  # a keras.KerasTensor; Keras' layers do not say what they return
Init = Any  # a Keras initializer


class Projected:
    """Frozen features and the heads on them, which alone learn."""

    def __init__(self, config: Config) -> None:
        """Build both for cards of the config's size; the heads' weights are drawn from config.seed."""
        self.eye = eye(config.height, config.width)
        self.heads = heads([tuple(output.shape[1:]) for output in self.eye.outputs], config.layer_seeds(2))

    def __call__(self, cards: tf.Tensor) -> tf.Tensor:
        """Return float32 logits (n, patches) of cards in [-1, 1], in training mode: (n, height, width, 3)."""
        return tf.cast(self.heads(self.eye(cards, training=False), training=True), tf.float32)


def zoom(cards: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Replace ZOOMED of the cards (n, height, width, 3) by a window of half their sides, enlarged to theirs.

    The features were learnt on pictures of 224 pixels: of a card's letters and small parts they see little
    unless these are enlarged. Windows lie anywhere; a fifth of them at each edge, which few would reach else.
    Cards that `eye` enlarges whole stay as they are.
    """
    height, width = cards.shape[1:3]
    if min(height, width) < SHORTEST:
        return cards
    down, right, chosen = tf.unstack(tf.random.stateless_uniform((3, tf.shape(cards)[0]), seed))
    windows = tf.gather(cards, window(down, height), axis=1, batch_dims=1)
    windows = tf.gather(windows, window(right, width), axis=2, batch_dims=1)
    enlarged = tf.image.resize(windows, (height, width))
    return tf.where((chosen < ZOOMED)[:, None, None, None], enlarged, cards)


def window(place: tf.Tensor, side: int) -> tf.Tensor:
    """Return which half of a side is looked at, int32 (n, side // 2), for places in [0, 1)."""
    room = side - side // 2
    first = tf.cast(tf.round((1.4 * place - 0.2) * room), tf.int32)
    return tf.clip_by_value(first, 0, room)[:, None] + tf.range(side // 2)


def eye(height: int, width: int) -> keras.Model:
    """Build cards (n, height, width, 3) in [-1, 1] -> features mixed across channels and scales, all frozen.

    Random convolutions mix them, so that no head can live on a few channels (Sauer 2021, sections 3.2, 3.3);
    they are the same for every run. TensorFlow has no second derivative of the resizing in here: a gradient
    penalty must not pass it.
    """
    cards = keras.Input((height, width, 3), name="cards")
    scale = -(-SHORTEST // min(height, width))
    pixels = layers.Rescaling(127.5, 127.5)(cards)
    if scale > 1:
        pixels = layers.UpSampling2D(scale, interpolation="bilinear")(pixels)
    maps = efficientnet(height * scale, width * scale)(pixels)[:4]
    seeds = count()
    mixed, coarser = [], None
    for features, size in zip(reversed(maps), reversed(USUAL), strict=True):
        x = mix(layers.Rescaling(1 / size)(features), 1, next(seeds))
        if coarser is not None:
            x = layers.Average()([x, layers.Resizing(*x.shape[1:3])(coarser)])
        mixed.append(x)
        coarser = mix(x, 3, next(seeds))
    network = keras.Model(cards, mixed[::-1], name="eye")
    network.trainable = False
    return network


def mix(x: Tensor, kernel: int, seed: int) -> Tensor:
    """Convolve by random numbers that keep the size of what they are given."""
    init: Init = keras.initializers.LecunNormal(seed=seed)
    return layers.Conv2D(WIDTH, kernel, padding="same", use_bias=False, kernel_initializer=init)(x)


def heads(shapes: list[tuple[int, ...]], seeds: Iterator[int]) -> keras.Model:
    """Build maps, one of each shape -> logits (n, patches): for each map a row of convolutions of its own.

    Each convolution's largest singular value is held at 1 (Miyato 2018), in place of a gradient penalty.
    """
    maps = [keras.Input(shape) for shape in shapes]
    network = keras.Model(maps, layers.Concatenate()([head(x, seeds) for x in maps]), name="projected")
    start_bounds(network, seeds)
    return network


def head(x: Tensor, seeds: Iterator[int]) -> Tensor:
    """Halve a map until it is small, look once more, and give a logit (n, patches) for each place."""
    width = x.shape[-1]
    while x.shape[1] > SMALLEST:
        width = min(2 * width, WIDEST)
        x = bounded(x, width, 4, 2, next(seeds))
    x = bounded(x, min(2 * width, WIDEST), 3, 1, next(seeds))
    last = layers.Conv2D(1, 3, padding="same", kernel_initializer=start(next(seeds)))
    return layers.Flatten()(SpectralNorm(last)(x))


def bounded(x: Tensor, width: int, kernel: int, stride: int, seed: int) -> Tensor:
    """Convolve within the bound, and rectify."""
    layer = layers.Conv2D(width, kernel, stride, "same", kernel_initializer=start(seed))
    return layers.LeakyReLU(0.2)(SpectralNorm(layer)(x))


def start(seed: int) -> Init:
    """Return Keras' default start."""
    return keras.initializers.GlorotUniform(seed=seed)
