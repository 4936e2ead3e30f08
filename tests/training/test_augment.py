import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from training.augment import augment, colour, cut_out, translate
from training.losses import gradient_penalty

SEED = tf.constant([5, 7])
CARDS = tf.random.stateless_uniform((8, 14, 10, 3), [1, 2], -1, 1)
CHANGES = [colour, translate, cut_out]


def test_probability_zero_changes_nothing():
    assert augment(CARDS, 0.0, SEED) is CARDS


def test_probability_one_changes_every_card_and_one_half_about_half():
    def changed(probability):
        cards = tf.repeat(CARDS, 64, axis=0)
        return np.any(augment(cards, probability, SEED) != cards, axis=(1, 2, 3)).mean()

    assert changed(1.0) == 1.0
    # Three changes, each with probability p: a card stays as it was with (1 - p) ** 3.
    assert changed(0.2) == pytest.approx(1 - 0.8**3, abs=0.08)


def test_the_same_seed_augments_alike():
    np.testing.assert_array_equal(augment(CARDS, 0.5, SEED), augment(CARDS, 0.5, SEED))
    assert np.any(augment(CARDS, 0.5, SEED) != augment(CARDS, 0.5, SEED + 1))


@pytest.mark.parametrize("change", CHANGES)
@given(a=st.floats(-2, 2), seed=st.integers(0, 1000))
@settings(max_examples=20)
def test_every_change_is_affine_in_the_pixels(change, a, seed):
    other = tf.reverse(CARDS, [0])
    seeds = tf.constant([seed, 1])
    mixed = change(a * CARDS + (1 - a) * other, seeds)
    np.testing.assert_allclose(mixed, a * change(CARDS, seeds) + (1 - a) * change(other, seeds), atol=1e-4)


def test_translation_moves_pixels_without_changing_them():
    ramp = tf.tile(tf.reshape(tf.range(1.0, 17.0), (1, 16, 1, 1)), (8, 1, 16, 3))
    for before, after in zip(ramp.numpy(), translate(ramp, SEED).numpy(), strict=True):
        rows = after.max(axis=(1, 2))
        kept = rows[rows > 0]
        assert set(kept) <= set(before.max(axis=(1, 2)))
        assert np.all(np.diff(kept) == 1)


def test_cutout_greys_out_one_rectangle():
    holes = np.all(cut_out(tf.ones((32, 20, 20, 3)), SEED) == 0, axis=3)
    for hole in holes:
        rows, columns = np.flatnonzero(hole.any(axis=1)), np.flatnonzero(hole.any(axis=0))
        assert 0 < len(rows) <= 7
        assert 0 < len(columns) <= 7
        assert hole.sum() == len(rows) * len(columns)


@pytest.mark.parametrize("change", CHANGES)
def test_the_gradient_of_a_penalty_behind_the_change_is_the_true_one(change):
    """Where an operator has no second derivative, TensorFlow gives zero without an error."""
    weights = tf.Variable(tf.random.stateless_normal((14 * 10 * 3, 4), [9, 9], stddev=0.1, dtype=tf.float64))
    cards = tf.cast(CARDS, tf.float64)

    @tf.function
    def penalty():
        with tf.GradientTape() as tape:
            tape.watch(cards)
            seen = tf.cast(change(tf.cast(cards, tf.float32), SEED), tf.float64)
            logits = tf.reduce_sum(tf.nn.softplus(tf.reshape(seen, (8, -1)) @ weights), axis=1)
        return gradient_penalty(tape.gradient(logits, cards))

    with tf.GradientTape() as tape:
        value = penalty()
    gradient = tape.gradient(value, weights)
    direction = tf.random.stateless_normal(weights.shape, [3, 3], dtype=tf.float64)
    step = 1e-3
    weights.assign_add(step * direction)
    above = penalty()
    weights.assign_sub(2 * step * direction)
    below = penalty()
    assert float(value) > 0
    expected = float(above - below) / (2 * step)
    assert float(tf.reduce_sum(gradient * direction)) == pytest.approx(expected, rel=1e-3)
