import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.curve import MOST, Curve


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50), st.integers(1, 3 * MOST))
def test_a_curve_is_short_and_passes_nothing_over(values, count):
    values = np.resize(values, count)
    curve = Curve()
    for place, value in enumerate(values):
        curve.add(place, float(value))
    counts = [point.values for point in curve.points]
    assert len(curve.points) <= MOST
    assert sum(counts) == count
    assert np.average([point.mean for point in curve.points], weights=counts) == pytest.approx(
        values.mean(), abs=1e-3
    )
    assert min(point.low for point in curve.points) == values.min()
    assert max(point.high for point in curve.points) == values.max()
    assert curve.points[-1].at == count - 1
    assert count < MOST or len(curve.points) >= MOST // 2


def test_what_is_no_number_is_a_gap_until_numbers_are_joined_to_it():
    curve = Curve()
    for place in range(MOST):
        curve.add(place, math.inf if place in (3, 4, 5) else 1.0)
    assert [place for place, point in enumerate(curve.points) if math.isnan(point.mean)] == [3, 4, 5]
    curve.add(MOST, 1.0)
    gap = [(point.at, point.values) for point in curve.points if math.isnan(point.mean)]
    assert gap == [(5, 1)]
    assert curve.points[1] == (3, 1, 1.0, 1.0, 1.0)
