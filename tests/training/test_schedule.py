import math

import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from training.presets import configure
from training.schedule import due, easing, learning_rate, next_due, slowed


def rate(step, **changes):
    return float(learning_rate(configure("smoke", 56, 40, batch=8, **changes))(step))


def test_the_learning_rate_falls_along_half_a_cosine_to_the_end_of_the_run():
    changes = {"images": 800, "learning_rate": 1e-3, "final_learning_rate": 1e-4}
    for step in (0, 25, 50, 75, 100):
        expected = 1e-4 + (1e-3 - 1e-4) * (1 + math.cos(math.pi * step / 100)) / 2
        assert rate(step, **changes) == pytest.approx(expected, rel=1e-5)


def test_a_rate_without_an_end_is_constant_to_the_bit():
    assert {rate(step, learning_rate=5e-4) for step in range(0, 50, 7)} == {rate(0, learning_rate=5e-4)}


def test_the_curve_follows_an_end_that_was_moved():
    changes = {"learning_rate": 1e-3, "final_learning_rate": 1e-4}
    assert rate(100, images=1600, **changes) == pytest.approx(rate(50, images=800, **changes))


@pytest.mark.parametrize("final", [None, 1e-4])
def test_a_slowed_run_has_its_share_of_the_rate_at_every_step(final):
    config = configure("smoke", 56, 40, batch=8, images=800, learning_rate=1e-3, final_learning_rate=final)
    for step in (0, 50, 100):
        whole, half = (float(learning_rate(each)(step)) for each in (config, slowed(config, 0.5)))
        assert half == pytest.approx(whole / 2)


@given(step=st.integers(0, 10_000), every=st.integers(1, 10_000), batch=st.integers(2, 512))
def test_what_is_due_next_is_due_then_and_not_before(step, every, batch):
    then = next_due(step, every, batch)
    assert then > step
    assert due(then, step, every, batch)
    assert not due(then - 1, step, every, batch)


def test_nothing_is_due_every_zero_images():
    assert not due(1_000, 0, 0, 8)


def test_the_penalties_fall_along_half_a_cosine_to_their_share():
    config = configure("smoke", 56, 40, batch=8, images=800, final_penalty=0.1)
    factors = [float(easing(config, tf.constant(step, tf.int64))) for step in (0, 50, 100, 200)]
    assert factors == pytest.approx([1, 0.55, 0.1, 0.1])


def test_penalties_without_an_end_stay_to_the_bit():
    config = configure("smoke", 56, 40, batch=8, images=800)
    assert {float(easing(config, tf.constant(step, tf.int64))) for step in range(0, 100, 7)} == {1.0}
