import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from training.augment import augment, colour, cut_out, translate

SEED = tf.constant([5, 7])
CARDS = tf.random.stateless_uniform((8, 14, 10, 3), [1, 2], -1, 1, tf.float64)
CHANGES = [colour, translate, cut_out]


def changed(change, probability):
    """The share of 512 cards that a change alters."""
    cards = tf.repeat(CARDS, 64, axis=0)
    return np.any(abs(change(cards, probability, SEED) - cards) > 1e-9, axis=(1, 2, 3)).mean()


def test_probability_zero_changes_nothing():
    assert augment(CARDS, 0.0, SEED) is CARDS
    assert changed(augment, tf.constant(0.0)) == 0


@pytest.mark.parametrize("change", [colour, cut_out])
def test_each_change_alters_its_share_of_the_cards(change):
    assert changed(change, 1.0) == 1
    assert changed(change, 0.3) == pytest.approx(0.3, abs=0.06)


def test_translation_alters_its_share_of_the_cards():
    # Shifts are whole pixels, up to 2 down and 1 right here: one in 12 is a shift by none.
    assert changed(translate, 1.0) == pytest.approx(11 / 12, abs=0.06)
    assert changed(translate, 0.3) == pytest.approx(0.3 * 11 / 12, abs=0.06)


def test_the_changes_are_chosen_independently_of_each_other():
    # A card stays as it was if none of the three happens to it.
    assert changed(augment, 0.2) == pytest.approx(1 - 0.8 * 0.8 * (1 - 0.2 * 11 / 12), abs=0.07)


def test_the_same_seed_augments_alike():
    np.testing.assert_array_equal(augment(CARDS, 0.5, SEED), augment(CARDS, 0.5, SEED))
    assert np.any(augment(CARDS, 0.5, SEED) != augment(CARDS, 0.5, SEED + 1))


def test_a_compiled_step_follows_a_probability_that_changes():
    @tf.function
    def augmented(probability):
        return augment(CARDS, probability, SEED)

    for probability in (0.0, 0.4, 1.0):
        seen = augmented(tf.constant(probability))
        np.testing.assert_allclose(seen, augment(CARDS, probability, SEED), atol=1e-12)
    assert augmented.experimental_get_tracing_count() == 1


@pytest.mark.parametrize("change", CHANGES)
@given(a=st.floats(-2, 2), seed=st.integers(0, 1000), probability=st.floats(0, 1))
@settings(max_examples=20)
def test_every_change_is_affine_in_the_pixels(change, a, seed, probability):
    def seen(cards):
        return change(cards, probability, tf.constant([seed, 1]))

    other = tf.reverse(CARDS, [0])
    np.testing.assert_allclose(
        seen(a * CARDS + (1 - a) * other), a * seen(CARDS) + (1 - a) * seen(other), atol=1e-9
    )


@pytest.mark.parametrize("change", CHANGES)
@given(seed=st.integers(0, 1000), probability=st.floats(0, 1))
@settings(max_examples=20)
def test_the_gradient_of_every_change_is_its_adjoint(change, seed, probability):
    """Of an affine change T, <T(x + v) - T(x), u> = <v, T'u>, where T'u is the gradient of <T(x), u>."""
    seeds = tf.constant([seed, 1])
    v, u = (tf.random.stateless_normal(CARDS.shape, [seed, other], dtype=CARDS.dtype) for other in (2, 3))
    with tf.GradientTape() as tape:
        tape.watch(CARDS)
        score = tf.reduce_sum(change(CARDS, probability, seeds) * u)
    moved = tf.reduce_sum((change(CARDS + v, probability, seeds) - change(CARDS, probability, seeds)) * u)
    assert float(tf.reduce_sum(tape.gradient(score, CARDS) * v)) == pytest.approx(float(moved), abs=1e-9)


def test_colour_leaves_greys_grey_and_uses_all_of_its_strengths():
    cards = tf.repeat(CARDS, 64, axis=0)
    grey = tf.repeat(tf.reduce_mean(cards, axis=3, keepdims=True), 3, axis=3)
    seen = colour(grey, 1.0, SEED)
    np.testing.assert_allclose(seen, tf.repeat(seen[..., :1], 3, axis=3), atol=1e-12)
    contrast = tf.math.reduce_std(seen, axis=[1, 2, 3]) / tf.math.reduce_std(grey, axis=[1, 2, 3])
    brightness = tf.reduce_mean(seen - grey, axis=[1, 2, 3])
    # What a pixel has beside its grey is multiplied by contrast and saturation, on a whole card alike.
    beside = (colour(cards, 1.0, SEED) - seen) / (cards - grey) / contrast[:, None, None, None]
    saturation = tf.reduce_mean(beside, axis=[1, 2, 3])
    np.testing.assert_allclose(beside, tf.zeros_like(beside) + saturation[:, None, None, None], atol=1e-6)
    for strength, low, high in ((contrast, 0.5, 1.5), (brightness, -0.5, 0.5), (saturation, 0, 2)):
        assert low <= float(tf.reduce_min(strength)) < low + 0.05
        assert high - 0.05 < float(tf.reduce_max(strength)) <= high


def test_translation_moves_pixels_without_changing_them():
    ramp = tf.tile(tf.reshape(tf.range(1.0, 17.0), (1, 16, 1, 1)), (8, 1, 16, 3))
    moved = translate(ramp, 1.0, SEED).numpy()
    assert len({tuple(card.max(axis=(1, 2))) for card in moved}) > 1
    for card in moved:
        rows = card.max(axis=(1, 2))
        kept = rows[rows > 0]
        assert set(kept) <= set(range(1, 17))
        assert np.all(np.diff(kept) == 1)


def test_translation_takes_no_pixel_from_another_card():
    numbered = tf.repeat(tf.reshape(tf.range(1.0, 33.0), (32, 1, 1, 1)), 16 * 16 * 3, axis=3)
    moved = translate(tf.reshape(numbered, (32, 16, 16, 3)), 1.0, SEED).numpy()
    for number, card in enumerate(moved, start=1):
        assert set(np.unique(card)) <= {0, number}


def test_cutout_greys_out_one_rectangle_of_three_tenths_of_a_side():
    holes = np.all(cut_out(tf.ones((32, 20, 10, 3)), 1.0, SEED) == 0, axis=3)
    sides = []
    for hole in holes:
        rows, columns = np.flatnonzero(hole.any(axis=1)), np.flatnonzero(hole.any(axis=0))
        assert len(rows) > 0
        assert len(columns) > 0
        assert hole.sum() == len(rows) * len(columns)
        sides.append((len(rows), len(columns)))
    assert np.max(sides, axis=0).tolist() == [6, 3]  # fewer where it lies across the edge
    assert {1, 20} <= {1 + row for hole in holes for row in np.flatnonzero(hole.any(axis=1))}
