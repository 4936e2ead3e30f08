"""The form in which a generator draws: its transposed convolutions made into ordinary ones.

A transposed convolution spreads each pixel over a window and adds up where windows meet. The same numbers
come of a convolution at the lower resolution that gives four pixels as channels (sub-pixel convolution, Shi
2016). On a CPU it is quicker forwards and slower backwards: networks learn in the first form and are exported
in the second.
"""

from typing import Any, TypeAlias

import keras
import tensorflow as tf
from keras import layers

from training.models import NearestConv2D, Tensor, folded

Layer: TypeAlias = Any
"""A layer of Keras', whose types know neither its weights nor what it returns."""

BORDER = [[0, 0], [1, 1], [1, 1], [0, 0]]
"""A pixel of padding around pictures (n, height, width, channels)."""


def drawing_form(generator: keras.Model) -> keras.Model:
    """Return a generator that draws the same cards, to a rounding, from the weights of now.

    A normalisation that follows a transposed convolution is part of its kernel; all other layers are shared.
    A generator without transposed convolutions is returned as it is.
    """
    doubling = [layer for layer in generator.layers if doubles(layer)]
    if not doubling:
        return generator
    norms = {layer: norm for layer in doubling for norm in generator.layers if follows(norm, layer)}

    def drawing_layer(layer: Layer) -> Layer:
        return SubPixelConv2D.of(layer, norms.get(layer)) if layer in doubling else layer

    def answer(layer: Layer, inputs: Tensor, **options: Tensor) -> Tensor:
        return inputs if layer in norms.values() else layer(inputs, **options)

    return keras.models.clone_model(generator, clone_function=drawing_layer, call_function=answer)


def doubles(layer: Layer) -> bool:
    """Whether a layer is a transposed convolution with an effective kernel of 4x4 at stride 2."""
    return isinstance(layer, NearestConv2D) or (
        isinstance(layer, layers.Conv2DTranspose) and (layer.kernel_size, layer.strides) == ((4, 4), (2, 2))
    )


def follows(norm: Layer, layer: Layer) -> bool:
    """Whether a layer normalises what another one gives."""
    return isinstance(norm, layers.BatchNormalization) and norm.input is layer.output


class SubPixelConv2D(layers.Layer):
    """A transposed convolution of 4x4 at stride 2, to twice the sides, as one of 2x2 at stride 1.

    Row 2i of the result has the rows i - 1 and i of the input in its window, row 2i + 1 has i and i + 1. So
    the window of i - 1 and i gives the rows 2i - 1 and 2i; the first and the last row of all are cut off.
    """

    def __init__(self, windows: layers.Conv2D, name: str) -> None:
        """Take the convolution whose channels are the four pixels that a window gives, row by row."""
        super().__init__(name=name)
        self.windows = windows

    @staticmethod
    def of(layer: Layer, norm: Layer | None = None) -> "SubPixelConv2D":
        """Do what a layers.Conv2DTranspose does, and the layers.BatchNormalization after it."""
        kernel = folded(layer.kernel) if isinstance(layer, NearestConv2D) else layer.kernel
        scale, shift = tf.ones(layer.filters), tf.zeros(layer.filters)
        if norm is not None:
            scale = norm.gamma * tf.math.rsqrt(norm.moving_variance + norm.epsilon)
            shift = norm.beta - norm.moving_mean * scale
        bias = shift + (layer.bias * scale if layer.use_bias else 0.0)
        windows = layers.Conv2D(4 * layer.filters, 2, activation=layer.activation)
        windows.build((None, None, None, kernel.shape[-1]))
        windows.set_weights([by_window(kernel * scale[:, None]), tf.tile(bias, [4])])
        return SubPixelConv2D(windows, layer.name)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Convolve (n, height, width, channels) to twice the sides."""
        pixels = tf.nn.depth_to_space(self.windows(tf.pad(inputs, BORDER)), 2)
        return pixels[:, 1:-1, 1:-1]


def by_window(kernel: tf.Tensor) -> tf.Tensor:
    """Turn a transposed kernel (4, 4, out, in) into (2, 2, in, 4 * out).

    Of a window the first row reaches its two rows of pixels by the kernel's rows 2 and 3, the second by 0
    and 1.
    """
    *_, out, channels = kernel.shape
    parts = tf.reshape(kernel, (2, 2, 2, 2, out, channels))  # rows: which half, which of it; columns alike
    parts = tf.transpose(tf.reverse(parts, [0, 2]), (0, 2, 5, 1, 3, 4))
    return tf.reshape(parts, (2, 2, channels, 4 * out))
