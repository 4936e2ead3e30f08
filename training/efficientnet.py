"""EfficientNet-Lite0, trained on ImageNet, as a Keras model that never learns; the weights ship with us."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

NAME = "effnet_lite0"
SIZE = 1280  # numbers that describe a picture

Tensor = Any  # a keras.KerasTensor; Keras' layers do not say what they return
Init = Any  # a Keras initializer
Weights = dict[str, NDArray[np.float32]]


def efficientnet(height: int, width: int) -> keras.Model:
    """Build the network: pixels float32 (n, height, width, 3) in 0 to 255 -> five feature maps.

    The first four are the last ones at a quarter, an eighth, a 16th and a 32nd of the sides, of 24, 40, 112
    and 320 channels; the fifth is the last layer, of SIZE channels.
    """
    blocks, weights = read_weights()
    pixels = keras.Input((height, width, 3))
    x = layers.Rescaling(1 / 128, -127 / 128)(pixels)
    x = relu6(convolved(x, weights, "stem", stride=2))
    maps = []
    for index, (kernel, stride, expansion, channels_in, channels_out) in enumerate(blocks):
        if stride == 2 and index > 1:
            maps.append(x)
        y = x if expansion == 1 else relu6(convolved(x, weights, f"b{index}.e"))
        y = relu6(filtered(y, weights, f"b{index}.d", kernel, stride))
        y = convolved(y, weights, f"b{index}.p")
        x = layers.Add()([x, y]) if stride == 1 and channels_in == channels_out else y
    last = relu6(convolved(x, weights, "head"))
    network = keras.Model(pixels, [*maps, x, last], name=NAME)
    network.trainable = False
    return network


def read_weights() -> tuple[list[list[int]], Weights]:
    """Read the blocks (kernel, stride, expansion, channels in, channels out) and every weight by its name."""
    with np.load(Path(__file__).parent / NAME / "weights.npz") as file:
        return file["spec"].tolist(), {
            name: file[name].astype(np.float32) for name in file.files if name != "spec"
        }


def convolved(x: Tensor, weights: Weights, name: str, stride: int = 1) -> Tensor:
    """Convolve and add the bias; the file keeps kernels as (out, in, height, width)."""
    kernel = weights[f"{name}.w"].transpose((2, 3, 1, 0))
    layer = layers.Conv2D(
        kernel.shape[-1],
        kernel.shape[0],
        stride,
        "same",
        kernel_initializer=fixed(kernel),
        bias_initializer=fixed(weights[f"{name}.b"]),
    )
    return layer(x)


def filtered(x: Tensor, weights: Weights, name: str, size: int, stride: int) -> Tensor:
    """Convolve each channel by itself and add the bias."""
    layer = layers.DepthwiseConv2D(
        size,
        stride,
        "same",
        depthwise_initializer=fixed(weights[f"{name}.w"].transpose((2, 3, 0, 1))),
        bias_initializer=fixed(weights[f"{name}.b"]),
    )
    return layer(x)


def fixed(values: NDArray[np.float32]) -> Init:
    """Return an initializer that gives these values."""
    array: Any = values  # Keras' own annotation knows single numbers only
    return keras.initializers.Constant(array)


def relu6(x: Tensor) -> Tensor:
    """Rectify, and cut off at 6, as the network was trained."""
    return layers.ReLU(6)(x)
