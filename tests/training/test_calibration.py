import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from training.calibration import calibrate, platt

logits = arrays(np.float32, st.integers(1, 40), elements=st.floats(-100, 100, width=32))
hundredths = arrays(np.float64, st.integers(1, 40), elements=st.integers(-9999, 9999).map(lambda n: n / 100))


def probability(calibration, logit):
    return 1 / (1 + np.exp(-(calibration.slope * np.asarray(logit) + calibration.intercept)))


def test_the_probability_is_the_true_one_where_that_is_known():
    # Two normals one apart: the log-odds at x are x - 0.5.
    rng = np.random.default_rng(1)
    calibration = calibrate(rng.normal(1, 1, 20_000), rng.normal(0, 1, 5_000))
    assert calibration.slope == pytest.approx(1, abs=0.05)
    assert calibration.intercept == pytest.approx(-0.5, abs=0.05)
    assert calibration.ranked_right == pytest.approx(0.76, abs=0.01)


def test_five_held_out_cards_leave_six_in_seven_as_the_surest_answer():
    fake = np.linspace(-6, -5, 1024, dtype=np.float32)
    calibration = calibrate(np.linspace(5, 6, 5, dtype=np.float32), fake)
    assert probability(calibration, np.linspace(5, 6, 5)).mean() == pytest.approx(6 / 7, abs=0.01)
    told = probability(calibration, np.linspace(-10, 10, 50))
    assert np.all(np.diff(told) > 0)
    assert 0 < told.min() < told.max() < 1


def test_kinds_that_separate_give_sure_but_finite_answers():
    calibration = calibrate(
        np.linspace(5, 6, 50, dtype=np.float32), np.linspace(-6, -5, 50, dtype=np.float32)
    )
    assert 0.9 < probability(calibration, 5.5) < 1
    assert calibration.ranked_right == 1


def test_a_discriminator_that_ranks_wrong_says_one_half():
    rng = np.random.default_rng(1)
    calibration = calibrate(rng.normal(-1, 1, 500), rng.normal(1, 1, 500))
    assert probability(calibration, [-5, 5]) == pytest.approx([0.5, 0.5])


@given(logits, logits)
def test_any_logits_give_a_finite_rising_probability(real, fake):
    calibration = calibrate(real, fake)
    assert np.isfinite([calibration.slope, calibration.intercept]).all()
    assert calibration.slope >= 0
    assert np.all(np.diff(calibration.reference) >= 0)
    assert 0 <= calibration.ranked_right <= 1


@given(hundredths, hundredths)
def test_over_both_kinds_the_probability_is_that_of_platt_s_targets(real, fake):
    # So it is where the cross-entropy is least; with targets of 1 and 0 it would be a half, of however few.
    slope, intercept = platt(real, fake)
    told = [1 / (1 + np.exp(-np.clip(slope * kind + intercept, -500, 500))) for kind in (real, fake)]
    targets = [(len(real) + 1) / (len(real) + 2), 1 / (len(fake) + 2)]
    assert np.mean([kind.mean() for kind in told]) == pytest.approx(np.mean(targets), abs=1e-5)
