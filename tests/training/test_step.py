from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from training.models import Networks, answer
from training.presets import configure
from training.step import METRICS, Step

CARDS = np.random.default_rng(0).integers(0, 256, (4, 8, 56, 40, 3), np.uint8)
LABELS = np.random.default_rng(1).integers(0, 2, (4, 8), np.int32)


def steps(config, count=4):
    """Take a few steps in one call."""
    networks = Networks.build(config)
    return Step(config, networks)(CARDS[:count], LABELS[:count], 0, 0.5), networks


def test_a_lazy_penalty_is_left_out_of_most_steps_and_weighs_more_in_the_others():
    config = configure("smoke", 56, 40, r1=1.0, r2=1.0)
    lazy = replace(config, r1_every=3)
    (every, _), step = steps(config, 1), Step(lazy, Networks.build(lazy))
    due, left_out = (step(CARDS[:1], LABELS[:1], index, 0.5) for index in (0, 1))
    assert float(due["penalty"]) == pytest.approx(3 * float(every["penalty"]), rel=1e-5)
    assert float(left_out["penalty"]) == 0.0


def test_without_a_penalty_a_lazy_one_changes_nothing():
    config = configure("smoke", 56, 40, r1=0.0)
    (_, plain), (_, lazy) = steps(config), steps(replace(config, r1_every=3))
    for one, other in zip(plain.discriminator.get_weights(), lazy.discriminator.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.mark.parametrize("r1_every", [1, 2])
def test_convolutions_in_bfloat16_leave_all_else_in_float32_and_finite(r1_every):
    config = configure("smoke", 56, 40, precision="bfloat16", r2=1.0, augment=0.5, r1_every=r1_every)
    metrics, networks = steps(config)
    assert metrics.keys() == set(METRICS)
    assert all(np.isfinite(value) for value in metrics.values())
    assert {layer.compute_dtype for layer in networks.discriminator.layers if "conv" in layer.name} == {
        "bfloat16"
    }
    cards = answer(networks.generator, tf.zeros((2, 16)), tf.zeros(2, tf.int32), training=False)
    assert cards.dtype == tf.float32
    assert len(np.unique(cards)) > 256  # not what eight bits of a mantissa leave
    for network in networks.parts().values():
        assert all(weight.dtype == "float32" and np.isfinite(weight).all() for weight in network.weights)


def test_labels_reach_both_networks():
    config = configure("smoke", 56, 40, classes=("a", "b"))
    _, networks = steps(config)
    for network in (networks.generator, networks.discriminator):
        rows = tf.ones((2, *network.inputs[0].shape[1:])) / 2
        first, second = answer(network, rows, tf.constant([0, 1]), training=False)
        assert np.abs(first - second).max() > 1e-6


def test_dropout_draws_after_a_resumption_what_it_would_have_drawn(tmp_path):
    """Here it has drawn once more before; in a process of its own it would have drawn less."""
    config = configure("seed", 64, 64, precision="float32", batch=2, images=4)
    cards = np.random.default_rng(0).integers(0, 256, (2, 2, 64, 64, 3), np.uint8)
    labels = np.zeros((2, 2), np.int32)

    networks = Networks.build(config)
    step = Step(config, networks)
    state = tf.train.Checkpoint(**networks.parts(), **step.parts())
    step(cards[:1], labels[:1], 0)
    state.write(tmp_path / "weights")
    step(cards[1:], labels[1:], 1)
    unbroken = networks.discriminator.get_weights()
    state.read(tmp_path / "weights")
    step(cards[1:], labels[1:], 1)
    for one, other in zip(unbroken, networks.discriminator.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
