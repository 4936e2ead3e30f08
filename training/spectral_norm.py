"""Spectral normalisation (Miyato 2018): a layer whose kernel's largest singular value is held at 1."""

from collections.abc import Iterator
from typing import Any

import keras
from keras import layers

Tensor = Any  # a keras.KerasTensor; Keras' layers do not say what they return


class SpectralNorm(layers.SpectralNormalization):
    """Keras' own, without its check at every call whether the kernel is all zeros.

    The check makes a GPU wait for its result, and adds a branch to the graph for each layer and call.
    """

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        """Divide the kernel by its largest singular value, one power iteration better known, and use it."""
        if training:
            vector, kernel = self.normalized_weights()
            self.vector_u.assign(vector)
            self.kernel.assign(kernel)
        return keras.ops.cast(self.layer(inputs), inputs.dtype)


def start_bounds(network: keras.Model, seeds: Iterator[int]) -> None:
    """Draw anew where each power iteration of a network begins, which Keras draws without a seed."""
    for layer in network.layers:
        if isinstance(layer, SpectralNorm):
            layer.vector_u.assign(keras.random.normal(layer.vector_u.shape, seed=next(seeds)))
