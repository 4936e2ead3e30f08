"""What is wrong with the networks themselves."""

from collections.abc import Iterator

from training.doctor.finding import Finding, Severity
from training.doctor.scripts.networks import NORMS, Layer, Network, cost, following
from training.doctor.scripts.script import Script

MERGES = {"Add", "Concatenate", "Multiply"}


def uneven_kernels(script: Script) -> Iterator[Finding]:
    """C11: Odena 2016, "Deconvolution and checkerboard artifacts"."""
    layers = [
        layer
        for network in script.reader.networks
        for layer in network.layers
        if layer.kind == "Conv2DTranspose" and is_uneven(layer)
    ]
    if layers:
        yield Finding(
            "C11",
            "kernels that overlap unevenly",
            Severity.WARNING,
            "Transposed convolutions have kernels whose size is not a multiple of their stride.",
            script.source.line(layers[0].node),
            "Some pixels get more contributions than their neighbours, which shows as a checkerboard.",
            "Conv2DTranspose(filters, (4, 4), strides=(2, 2), padding='same')\n"
            "or UpSampling2D() followed by Conv2D(filters, (3, 3), padding='same')",
            script.source.places(layer.node for layer in layers),
        )


def is_uneven(layer: Layer) -> bool:
    """Is the kernel no multiple of a stride above 1?"""
    kernel, strides = layer.pair("kernel_size"), layer.pair("strides")
    if kernel is None or strides is None:
        return False
    return any(stride > 1 and side % stride for side, stride in zip(kernel, strides, strict=True))


def missing_bias(script: Script) -> Iterator[Finding]:
    """C13: Ioffe and Szegedy 2015, section 3.2: a norm's shift takes the bias's place."""
    networks = [*script.generators, *script.discriminators]
    bare = [layer for network in networks for layer in without_bias(network)]
    last = [network.layers[-1] for network in networks if network.layers]
    if bare:
        only_output = all(layer in last for layer in bare)
        yield Finding(
            "C13",
            "bias left out without a norm",
            Severity.NOTE if only_output else Severity.WARNING,
            "A layer has `use_bias=False`, and no normalisation follows it.",
            script.source.line(bare[0].node),
            "It belongs before BatchNormalization, which subtracts the mean, and any bias with it, and adds "
            "its own (beta); with neither the layer can no longer shift its output.",
            "Put BatchNormalization() between the layer and its activation,\n"
            "or leave `use_bias=False` out; the output layer takes no norm, so it keeps its bias.",
            script.source.places(layer.node for layer in bare),
        )


def without_bias(network: Network) -> list[Layer]:
    """Return the layers of a plain chain that lost their bias for nothing."""
    if network.has(MERGES) or any(layer.kind in MERGES for layer in network.layers):
        return []
    return [
        layer
        for layer, between in following(network)
        if layer.option("use_bias", True) is False
        and not layer.wrapper
        and layer.option("kernel_size") not in (1, [1, 1])
        and not any(after.kind in NORMS for after in between)
    ]


def weaker_by_count(script: Script) -> Iterator[Finding]:
    """C17: parameters say little about strength."""
    if len(script.generators) != 1 or len(script.discriminators) != 1:
        return
    made, judged = cost(script.generators[0]), cost(script.discriminators[0])
    if made and judged and judged[0] < made[0] and judged[1] > made[1]:
        yield Finding(
            "C17",
            "weaker by parameters only",
            Severity.NOTE,
            f"The discriminator has {made[0] / judged[0]:.1f} times fewer parameters than the generator, but "
            f"does {judged[1] / made[1]:.1f} times the arithmetic.",
            f"generator {made[0]:,} parameters, {made[1]:,} multiplications a picture; "
            f"discriminator {judged[0]:,} and {judged[1]:,}",
            "Its task, to find any difference at all, is also the easier one: it wins by default.",
            "Do not shrink it further; hold it with a gradient penalty and augmentation.",
            script.source.places([script.discriminators[0].node]),
        )


def norm_under_penalty(script: Script) -> Iterator[Finding]:
    """C19: Gulrajani 2017, section 4: no batch normalisation in a penalised critic."""
    norms = script.normed(script.discriminators)
    if script.penalised and norms:
        yield Finding(
            "C19",
            "batch normalisation under a gradient penalty",
            Severity.WARNING,
            "The discriminator is penalised for each picture's gradient, but its BatchNormalization mixes "
            "the pictures of a batch.",
            script.source.line(norms[0].node),
            "With it one picture's answer depends on all others of the batch, and the penalty's gradient is "
            "no longer that of one picture.",
            "Leave BatchNormalization out of the discriminator, or use LayerNormalization().",
            script.source.places(layer.node for layer in norms),
        )


def resize_under_penalty(script: Script) -> Iterator[Finding]:
    """C20: TensorFlow's resize has no second derivative; the penalty's gradient vanishes without a word."""
    layers = [
        layer for network in script.discriminators for layer in network.layers if resizes_smoothly(layer)
    ]
    if script.penalised and layers:
        yield Finding(
            "C20",
            "resize under a gradient penalty",
            Severity.CRITICAL,
            "The discriminator resizes its pictures and is held by a gradient penalty.",
            script.source.line(layers[0].node),
            "TensorFlow has no second derivative of a bilinear or bicubic resize and puts zero in its place: "
            "the penalty is counted in the loss but teaches nothing.",
            "Resize the pictures before the tape watches them, or use AveragePooling2D inside.",
            script.source.places(layer.node for layer in layers),
        )


def resizes_smoothly(layer: Layer) -> bool:
    """Is this a bilinear or bicubic resize?"""
    smooth = ("bilinear", "bicubic")
    if layer.kind == "UpSampling2D":
        return layer.option("interpolation") in smooth
    if layer.kind == "Resizing":
        return layer.option("interpolation", "bilinear") in smooth
    return layer.kind == "resize" and layer.option("method", "bilinear") in smooth
