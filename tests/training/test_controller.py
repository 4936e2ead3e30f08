import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from training.controller import TARGET, next_probability, overfitting

NORMAL = np.random.default_rng(0).standard_normal((3, 200))
TRAIN, HOLDOUT, FAKE = NORMAL + np.array([[4.0], [3.0], [0.0]])
probabilities = st.floats(0, 0.8)


@given(scale=st.floats(1e-3, 1e3), shift=st.floats(-1e3, 1e3), gap=st.floats(0, 5), drop=st.floats(0, 5))
def test_overfitting_does_not_change_with_the_zero_and_the_scale_of_the_logits(scale, shift, gap, drop):
    train, holdout, fake = NORMAL + np.array([[gap], [gap - drop], [0.0]])
    error = np.hypot(train.std(), fake.std()) / np.sqrt(200)
    assume(abs(train.mean() - fake.mean() - 2 * error) > 1e-3)  # else rounding decides whether it can be told
    moved = overfitting(scale * train + shift, scale * holdout + shift, scale * fake + shift)
    assert moved == pytest.approx(overfitting(train, holdout, fake), rel=1e-5, abs=1e-5)


def test_overfitting_is_0_where_held_out_cards_score_like_training_cards_and_1_where_like_fakes():
    assert overfitting(TRAIN, TRAIN, FAKE) == 0
    assert overfitting(TRAIN, FAKE, FAKE) == 1
    assert overfitting(TRAIN, (TRAIN + FAKE) / 2, FAKE) == pytest.approx(0.5)
    assert overfitting(TRAIN, HOLDOUT, FAKE) == pytest.approx(0.25, abs=0.05)


def test_where_overfitting_cannot_be_told_it_changes_nothing():
    untold = [
        overfitting(TRAIN, HOLDOUT, TRAIN),  # no difference to divide by
        overfitting(FAKE, HOLDOUT, TRAIN),  # fakes score higher than training cards
        overfitting(TRAIN, FAKE[:9], FAKE),  # too few held out
        overfitting(np.ones(50), np.ones(50), np.ones(50)),  # one value for all
    ]
    assert untold == [TARGET] * 4
    assert next_probability(0.3, TARGET, 10_000) == 0.3


def test_it_is_told_from_a_gap_of_two_standard_errors_on():
    fake = np.tile([-1.0, 1.0], 50)  # 100 logits around 0 with a deviation of 1: the error of a mean is 0.1
    error = np.hypot(0.1, 0.1)
    assert overfitting(fake + 1.99 * error, fake, fake) == TARGET
    assert overfitting(fake + 2.01 * error, fake, fake) == pytest.approx(1)


def test_ten_held_out_cards_are_enough_to_tell():
    assert overfitting(TRAIN, FAKE[:10], FAKE) == pytest.approx(1, abs=0.25)


@given(current=probabilities, r_v=st.floats(-2, 3), images=st.integers(0, 100_000))
def test_the_probability_rises_above_the_target_and_falls_below_it_within_its_bounds(current, r_v, images):
    following = next_probability(current, r_v, images)
    assert 0 <= following <= 0.8
    assert (following - current) * (r_v - 0.5) >= 0


def test_from_zero_to_one_would_take_500_000_images():
    assert next_probability(0.2, 0.9, 50_000) == pytest.approx(0.3)
    assert next_probability(0.2, 0.1, 50_000) == pytest.approx(0.1)
    assert next_probability(0.0, 0.9, 10_000_000) == 0.8


@given(current=probabilities, r_v=st.floats(0, 1), cut=st.integers(0, 20_000))
def test_two_looks_move_it_as_far_as_one_look_at_both_stretches(current, r_v, cut):
    twice = next_probability(next_probability(current, r_v, cut), r_v, 20_000 - cut)
    assert twice == pytest.approx(next_probability(current, r_v, 20_000))
