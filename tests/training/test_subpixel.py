"""A generator's drawing form draws what the generator draws."""

from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from training import models
from training.config import Config
from training.presets import configure
from training.subpixel import drawing_form

SMOKE = configure("smoke", 56, 40)
CONFIGS = {
    "transposed": replace(SMOKE, upsampling="transposed"),
    "nearest": replace(SMOKE, upsampling="nearest"),
    "kinds": configure("smoke", 56, 40, classes=("a", "b", "c")),
    "residual": replace(SMOKE, networks="residual"),
    "posted": configure("seed", 64, 64),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_the_drawing_form_draws_the_same_cards(name):
    config = CONFIGS[name]
    generator = moved(config)
    inputs = rows(config, 5)
    cards = generator(inputs, training=False)
    assert float(tf.math.reduce_std(cards)) > 0.01
    np.testing.assert_allclose(drawing_form(generator)(inputs, training=False), cards, atol=1e-4)


@pytest.mark.parametrize("name", ["transposed", "nearest", "kinds"])
def test_what_is_drawn_takes_no_transposed_convolution_and_no_normalisation_after_one(name):
    config = CONFIGS[name]
    generator = moved(config)
    operations = {
        model: tf.function(model)
        .get_concrete_function(rows(config, 2), training=False)
        .graph.get_operations()
        for model in (generator, drawing_form(generator))
    }
    counts = [
        [sum(one.type == kind for one in found) for kind in ("Conv2DBackpropInput", "Rsqrt")]
        for found in operations.values()
    ]
    levels = len(config.channels)
    assert counts == [[levels, levels], [0, 1]]


def test_a_convolution_computed_in_bfloat16_is_drawn_in_float32():
    from training.devices import convolve_in

    generator = moved(SMOKE)
    cards = generator(rows(SMOKE, 5), training=False)
    convolve_in("bfloat16", generator)
    np.testing.assert_allclose(drawing_form(generator)(rows(SMOKE, 5), training=False), cards, atol=1e-4)


def moved(config: Config) -> keras.Model:
    """Return a generator none of whose weights is as it began, nor zero or one."""
    generator = models.generator(config)
    random = np.random.default_rng(3)
    for weight in generator.weights:
        weight.assign(weight + 0.1 * random.uniform(-1, 1, weight.shape).astype(np.float32))
    return generator


def rows(config: Config, count: int) -> tf.Tensor | list[tf.Tensor]:
    """Return noise, and a label a row where there are kinds."""
    noise = tf.random.stateless_normal((count, config.noise_size), [1, 2])
    return [noise, tf.range(count) % 3] if config.classes else noise
