"""The networks of a script: their layers in order, and what a picture costs in each."""

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from math import prod
from typing import Any

NORMS = {"BatchNormalization", "GroupNormalization", "InstanceNormalization", "LayerNormalization"}
UPSAMPLERS = {"Conv2DTranspose", "UpSampling2D", "depth_to_space"}
CONVOLUTIONS = {"Conv2D", "Conv2DTranspose", "SeparableConv2D", "DepthwiseConv2D", "Conv1D", "Conv3D"}
WEIGHTED = CONVOLUTIONS | {"Dense"}
ACTIVATIONS = {"tanh", "sigmoid", "relu", "leaky_relu", "softplus", "hard_sigmoid"}
ACTIVATION_LAYERS = {"Activation", "ELU", "LeakyReLU", "PReLU", "ReLU", "Softmax"}
SAME_SHAPE = NORMS | ACTIVATIONS | ACTIVATION_LAYERS | {"Dropout", "SpatialDropout2D", "GaussianNoise"}
OTHERS = {
    "Add", "AveragePooling2D", "Concatenate", "Cropping2D", "Embedding", "Flatten", "GlobalAveragePooling2D",
    "GlobalMaxPooling2D", "InputLayer", "Lambda", "MaxPooling2D", "Multiply", "Normalization",
    "RandomBrightness", "RandomContrast", "RandomFlip", "RandomRotation", "RandomTranslation", "RandomZoom",
    "RepeatVector", "Rescaling", "Reshape", "Resizing", "ZeroPadding2D", "resize",
}  # fmt: skip
KINDS = SAME_SHAPE | UPSAMPLERS | WEIGHTED | OTHERS
POSITIONS = {
    "Activation": ("activation",),
    "Conv2D": ("filters", "kernel_size", "strides", "padding"),
    "Conv2DTranspose": ("filters", "kernel_size", "strides", "padding"),
    "Dense": ("units", "activation", "use_bias"),
    "InputLayer": ("shape",),
    "Rescaling": ("scale", "offset"),
    "Reshape": ("target_shape",),
    "Resizing": ("height", "width", "interpolation"),
    "UpSampling2D": ("size", "data_format", "interpolation"),
    "resize": ("images", "size", "method"),
}

NO_NETWORKS = {
    "acc", "accuracy", "cost", "epoch", "epochs", "fake", "fn", "grad", "gradient", "gradients", "grads",
    "image", "images", "img", "imgs", "label", "labels", "logits", "loss", "losses", "lr", "metric", "noise",
    "opt", "optim", "optimiser", "optimizer", "output", "real", "solver", "step", "steps", "tape", "train",
    "trainer",
}  # fmt: skip
"""Words of what belongs to a network without being one, as in g_loss_fn."""


class Unknown:
    """What cannot be known without running the script."""

    def __repr__(self) -> str:
        return "unknown"


UNKNOWN = Unknown()


class Role(StrEnum):
    """What a network is for."""

    GENERATOR = "generator"
    DISCRIMINATOR = "discriminator"
    STACK = "stack"  # a generator with a discriminator behind it, to train the generator
    OTHER = "other"


@dataclass(frozen=True, eq=False)
class Layer:
    """One layer, or a function that acts as one, as in `tf.nn.tanh(x)`."""

    kind: str
    node: ast.expr
    options: dict[str, Any]
    doubt: int = 0  # how many conditions of unknown outcome it stands behind
    wrapper: str = ""  # as in SpectralNormalization(Conv2D(...))

    def option(self, name: str, default: object = None) -> Any:  # noqa: ANN401
        """Return an argument's value, UNKNOWN if it cannot be told, the default if it is not given."""
        return self.options.get(name, default)

    def pair(self, name: str) -> tuple[int, int] | None:
        """Return a kernel's or a stride's (height, width); None if unknown."""
        value = self.option(name, 1)
        if isinstance(value, int) and not isinstance(value, bool):
            return value, value
        if (
            isinstance(value, list | tuple)
            and len(value) == 2
            and all(isinstance(side, int) for side in value)
        ):
            return value[0], value[1]
        return None

    @property
    def activation(self) -> object:
        """Its activation's name, "linear" if it has none, UNKNOWN if it cannot be told."""
        if self.kind in ACTIVATIONS:
            return self.kind
        if self.kind in ACTIVATION_LAYERS and self.kind != "Activation":
            return self.kind.lower()
        return self.option("activation") or "linear"


@dataclass(eq=False)
class Network:
    """A model or a block: layers, and other networks, in the order in which a picture passes them."""

    node: ast.AST
    items: list["Layer | Network"] = field(default_factory=list)
    name: str = ""
    doubt: int = 0

    @property
    def layers(self) -> list[Layer]:
        """Every layer, those of inner networks in their places."""
        found: list[Layer] = []
        for item in self.items:
            found += item.layers if isinstance(item, Network) else [item]
        return found

    @property
    def inner(self) -> list["Network"]:
        """The networks it is stacked of."""
        return [item for item in self.items if isinstance(item, Network)]

    @property
    def role(self) -> Role:
        """What it is for, by its name, or else by its layers."""
        return role_of_name(self.name) or self.role_by_layers()

    def role_by_layers(self) -> Role:
        """Tell a generator by its growing pictures or its tanh, a discriminator by its one answer."""
        if {inner.role for inner in self.inner} >= {Role.GENERATOR, Role.DISCRIMINATOR}:
            return Role.STACK
        weighted = [layer for layer in self.layers if layer.kind in WEIGHTED]
        if not weighted:
            return Role.OTHER
        if self.output == "tanh" or any(layer.kind in UPSAMPLERS for layer in self.layers):
            return Role.GENERATOR
        one = weighted[-1].option("units", weighted[-1].option("filters"))
        return Role.DISCRIMINATOR if one == 1 and len(weighted) > 1 else Role.OTHER

    @property
    def output(self) -> object:
        """The last activation's name, "linear" if there is none, UNKNOWN if it cannot be told."""
        for layer in reversed(self.layers):
            if layer.doubt > self.doubt:
                return UNKNOWN
            if layer.activation != "linear":
                return layer.activation
            if layer.kind in WEIGHTED:
                return "linear"
            if layer.kind not in OTHERS | {"Activation", "Dropout"}:
                return UNKNOWN
        return UNKNOWN

    def certain(self, layer: Layer) -> bool:
        """Is this layer there whatever the settings are?"""
        return layer.doubt <= self.doubt

    def has(self, kinds: Iterable[str]) -> list[Layer]:
        """Return the layers of these kinds that are there for certain."""
        return [layer for layer in self.layers if layer.kind in kinds and self.certain(layer)]


def role_of_name(name: str) -> Role | None:
    """Tell a role by how people name their networks; None if the name says nothing."""
    words = name.rsplit(".", 1)[-1]
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", words).lower()
    parts = set(re.split(r"[^a-z]+", snake))
    if parts & NO_NETWORKS:
        return None
    generator = "generator" in snake or parts & {"gen", "g", "netg"}
    discriminator = "discriminator" in snake or "critic" in snake or parts & {"disc", "dis", "d", "netd"}
    stack = "adversarial" in snake or parts & {"gan", "dcgan", "wgan", "combined", "stacked"}
    if (generator and discriminator) or (stack and not generator and not discriminator):
        return Role.STACK
    return Role.GENERATOR if generator else Role.DISCRIMINATOR if discriminator else None


def cost(network: Network) -> tuple[int, int] | None:
    """Count parameters, and multiplications for one picture; None unless every layer's shape is plain."""
    shape: tuple[int, ...] | None = None
    parameters = multiplications = 0
    if network.inner:
        return None
    for layer in network.layers:
        shape = input_shape(layer) or shape
        if layer.kind == "InputLayer":
            continue
        if shape is None or not network.certain(layer) or not all(isinstance(side, int) for side in shape):
            return None
        step = counted(layer, shape)
        if step is None:
            return None
        shape, weights, work = step
        parameters, multiplications = parameters + weights, multiplications + work
    return (parameters, multiplications) if multiplications else None


def input_shape(layer: Layer) -> tuple[int, ...] | None:
    """Return the shape that a first layer names, without the batch."""
    if isinstance(layer.option("input_dim"), int):
        return (layer.option("input_dim"),)
    named = layer.option("shape" if layer.kind == "InputLayer" else "input_shape")
    if isinstance(named, int):
        return (named,)
    return tuple(named) if isinstance(named, list | tuple) else None


def counted(layer: Layer, shape: tuple[int, ...]) -> tuple[tuple[int, ...], int, int] | None:
    """Return (shape after it, parameters, multiplications) of a layer; None if it cannot be counted."""
    if layer.kind in NORMS:
        return shape, (4 if layer.kind == "BatchNormalization" else 2) * shape[-1], 0
    if layer.kind in SAME_SHAPE | {"Rescaling"}:
        return shape, 0, 0
    if layer.kind == "Flatten":
        return (prod(shape),), 0, 0
    if layer.kind == "Reshape":
        target = layer.option("target_shape")
        return (tuple(target), 0, 0) if isinstance(target, list | tuple) else None
    if layer.kind == "UpSampling2D" and len(shape) == 3:
        return grown(layer, shape)
    if layer.kind == "Dense" and isinstance(layer.option("units"), int):
        units = layer.option("units")
        bias = units if layer.option("use_bias", True) else 0
        return (*shape[:-1], units), shape[-1] * units + bias, prod(shape) * units
    if layer.kind in {"Conv2D", "Conv2DTranspose"} and len(shape) == 3:
        return convolved(layer, shape)
    return None


def grown(layer: Layer, shape: tuple[int, ...]) -> tuple[tuple[int, ...], int, int] | None:
    """Count UpSampling2D, twice each side unless it says otherwise."""
    size = layer.pair("size") if "size" in layer.options else (2, 2)
    return ((shape[0] * size[0], shape[1] * size[1], shape[2]), 0, 0) if size else None


def convolved(layer: Layer, shape: tuple[int, ...]) -> tuple[tuple[int, ...], int, int] | None:
    """Count a convolution, plain or transposed."""
    kernel, strides, filters = layer.pair("kernel_size"), layer.pair("strides"), layer.option("filters")
    if kernel is None or strides is None or not isinstance(filters, int):
        return None
    sides = [side_after(layer, side, k, s) for side, k, s in zip(shape[:2], kernel, strides, strict=True)]
    weights = prod(kernel) * shape[2] * filters
    places = prod(shape[:2]) if layer.kind == "Conv2DTranspose" else prod(sides)
    return (*sides, filters), weights + (filters if layer.option("use_bias", True) else 0), weights * places


def side_after(layer: Layer, side: int, kernel: int, stride: int) -> int:
    """Return a side's length after a convolution."""
    same = layer.option("padding", "valid") == "same"
    if layer.kind == "Conv2DTranspose":
        return side * stride if same else (side - 1) * stride + kernel
    return -(-side // stride) if same else (side - kernel) // stride + 1


def following(network: Network) -> Iterator[tuple[Layer, list[Layer]]]:
    """Yield each layer with weights, and what stands between it and the next one."""
    layers = network.layers
    for index, layer in enumerate(layers):
        if layer.kind in WEIGHTED:
            rest = layers[index + 1 :]
            end = next((i for i, after in enumerate(rest) if after.kind in WEIGHTED), len(rest))
            yield layer, rest[:end]
