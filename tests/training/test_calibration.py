import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from training.calibration import calibrate

logits = arrays(np.float32, st.integers(1, 40), elements=st.floats(-100, 100, width=32))


def probability(calibration, logit):
    return 1 / (1 + np.exp(-(calibration.slope * np.asarray(logit) + calibration.intercept)))


def test_the_probability_is_the_true_one_where_that_is_known():
    # Two normals one apart: the log-odds at x are x - 0.5.
    rng = np.random.default_rng(1)
    calibration = calibrate(rng.normal(1, 1, 20_000), rng.normal(0, 1, 5_000))
    assert calibration.slope == pytest.approx(1, abs=0.05)
    assert calibration.intercept == pytest.approx(-0.5, abs=0.05)
    assert calibration.ranked_right == pytest.approx(0.76, abs=0.01)


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
