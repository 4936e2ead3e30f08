"""Is the gradient of the penalty the true one, through every augmentation and every preset's discriminator?

Where an operator has no second derivative, TensorFlow gives a wrong one, or zero, without an error: the
penalty would stand in the log and do nothing. Each claim here is a central difference in float64.
"""

import keras
import pytest
import tensorflow as tf
from keras import layers

from training import models
from training.augment import augment, colour, cut_out, translate
from training.config import BadConfig, Config
from training.losses import gradient_penalty
from training.presets import PRESETS, configure

SEED = tf.constant([5, 7])
SIZES = [(8, 8), (14, 10), (16, 16), (28, 20), (32, 32), (56, 40), (64, 64)]
CHANGES = [augment, colour, translate, cut_out]
CONFIGS = {name: (name, ()) for name in PRESETS} | {"tiny, two classes": ("smoke", ("front", "back"))}


def smallest(preset: str, classes: tuple[str, ...]) -> Config:
    """Configure a preset for the smallest cards it takes."""
    for size in SIZES:
        try:
            return configure(preset, *size, classes=classes)
        except BadConfig:
            continue
    raise AssertionError(f"{preset} takes none of these sizes: add one that it does")


def smooth(network: keras.Model) -> keras.Model:
    """Copy a network in float64, softplus for every activation with a kink, and weights of the usual size.

    With kinks the penalty is no differentiable function of the weights, and there is nothing to compare.
    """

    def copied(layer: layers.Layer) -> layers.Layer:
        if isinstance(layer, layers.ReLU | layers.LeakyReLU):
            return layers.Activation("softplus", dtype="float64", name=layer.name)
        settings = layer.get_config() | {"dtype": "float64"}
        if isinstance(layer, layers.InputLayer):
            settings["dtype"] = "int32" if layer.dtype == "int32" else "float64"
        if settings.get("activation", "linear") != "linear":
            settings["activation"] = "softplus"
        return type(layer).from_config(settings)

    copy = keras.models.clone_model(network, clone_function=copied)
    for number, weight in enumerate(copy.trainable_variables):
        fan_in = int(tf.reduce_prod(weight.shape[:-1]))
        weight.assign(
            tf.random.stateless_normal(weight.shape, [number, 3], stddev=fan_in**-0.5, dtype=tf.float64)
        )
    return copy


def disagreement(judge, weights, cards) -> float:
    """Return how far the penalty's gradient is from its central difference, as a share of the difference.

    `judge` turns cards (n, height, width, 3) into logits (n,) by way of `weights`; the direction is random.
    """

    @tf.function(autograph=False)
    def penalty_and_gradient():
        with tf.GradientTape() as outer:
            with tf.GradientTape() as inner:
                inner.watch(cards)
                logits = judge(cards)
            penalty = gradient_penalty(inner.gradient(logits, cards))
        return penalty, outer.gradient(penalty, weights)

    directions = [
        tf.random.stateless_normal(weight.shape, [number, 4], dtype=weight.dtype)
        for number, weight in enumerate(weights)
    ]

    def penalty_at(distance: float) -> float:
        for weight, direction in zip(weights, directions, strict=True):
            weight.assign_add(distance * direction)
        penalty = float(penalty_and_gradient()[0])
        for weight, direction in zip(weights, directions, strict=True):
            weight.assign_sub(distance * direction)
        return penalty

    # A bias behind the last activation has no part in the slope: its gradient is None.
    pairs = zip(penalty_and_gradient()[1], directions, strict=True)
    along = sum(float(tf.reduce_sum(slope * direction)) for slope, direction in pairs if slope is not None)
    distance = 1e-4
    expected = (penalty_at(distance) - penalty_at(-distance)) / (2 * distance)
    assert abs(expected) > 1e-3
    return abs(along - expected) / abs(expected)


def drawn(n: int, height: int, width: int) -> tf.Tensor:
    return tf.random.stateless_uniform((n, height, width, 3), [1, 2], -1, 1, tf.float64)


@pytest.mark.parametrize("name", CONFIGS)
def test_the_penalty_of_every_preset_has_its_true_gradient_through_all_augmentations(name):
    config = smallest(*CONFIGS[name])
    network = smooth(models.discriminator(config))
    labels = [tf.constant([0, 1])] if config.classes else []

    def judge(cards):
        seen = augment(cards, tf.constant(0.9), SEED)
        return network([seen, *labels] if labels else seen, training=False)

    assert disagreement(judge, network.trainable_variables, drawn(2, config.height, config.width)) < 1e-4


def blurred(cards: tf.Tensor) -> tf.Tensor:
    """Halve the resolution and double it again by operators that TensorFlow differentiates twice."""
    halved = tf.nn.avg_pool2d(cards, 2, 2, "SAME")
    return tf.repeat(tf.repeat(halved, 2, axis=1), 2, axis=2)


def resized(cards: tf.Tensor) -> tf.Tensor:
    """Halve the resolution and double it again by the operator that it does not."""
    halved = tf.nn.avg_pool2d(cards, 2, 2, "SAME")
    return tf.cast(tf.image.resize(halved, cards.shape[1:3]), cards.dtype)


def small_judge(seen):
    """Return a smooth discriminator with `seen` before its first layer, and its weights."""
    kernel = tf.Variable(tf.random.stateless_normal((4, 4, 3, 6), [8, 8], stddev=0.3, dtype=tf.float64))
    last = tf.Variable(tf.random.stateless_normal((7 * 5 * 6, 1), [9, 9], stddev=0.3, dtype=tf.float64))

    def judge(cards):
        features = tf.nn.softplus(tf.nn.conv2d(seen(cards), kernel, 2, "SAME"))
        return (tf.reshape(features, (cards.shape[0], -1)) @ last)[:, 0]

    return judge, [kernel, last]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("probability", [0.5, 1.0])
def test_the_penalty_behind_every_augmentation_has_its_true_gradient(change, probability):
    judge, weights = small_judge(lambda cards: change(cards, tf.constant(probability), SEED))
    assert disagreement(judge, weights, drawn(8, 14, 10)) < 1e-6


def test_a_bilinear_resize_before_the_discriminator_is_caught():
    judge, weights = small_judge(resized)
    assert disagreement(judge, weights, drawn(8, 14, 10)) > 0.5


def test_a_bilinear_resize_inside_the_discriminator_is_caught_where_repeating_pixels_is_right():
    kernel = tf.Variable(tf.random.stateless_normal((3, 3, 3, 3), [7, 7], stddev=0.3, dtype=tf.float64))

    def found(change) -> float:
        judge, weights = small_judge(lambda x: change(tf.nn.softplus(tf.nn.conv2d(x, kernel, 1, "SAME"))))
        return disagreement(judge, [kernel, *weights], drawn(8, 14, 10))

    assert found(blurred) < 1e-6
    assert found(resized) > 0.1
