"""The fit of seconds a call: right where calls are regular, sane where they are not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.contract import BATCH_SIZES
from serving.pace import Pace

SECONDS = st.floats(0, 10)


def learnt(calls: list[tuple[int, float]]) -> Pace:
    pace = Pace()
    for rows, seconds in calls:
        pace.learn(rows, seconds)
    return pace


@given(st.lists(st.sampled_from(BATCH_SIZES), min_size=2, max_size=40), SECONDS, SECONDS)
def test_regular_calls_are_predicted(sizes, a_call, a_row):
    pace = learnt([(rows, a_call + a_row * rows) for rows in [*sizes, 1, 64, 1, 64]])
    for rows in BATCH_SIZES:
        assert pace.seconds(rows) == pytest.approx(a_call + a_row * rows, rel=1e-3, abs=1e-3)
    assert pace.seconds(48, calls=3) == pytest.approx(3 * a_call + 48 * a_row, rel=1e-3, abs=1e-3)


@given(st.lists(st.tuples(st.sampled_from((0, *BATCH_SIZES)), SECONDS), max_size=40))
def test_no_prediction_is_negative_or_falls_with_rows(calls):
    pace = learnt(calls)
    predicted = [pace.seconds(rows) for rows in range(1, 65)]
    assert predicted == sorted(predicted)
    assert predicted[0] >= 0


@given(st.lists(st.tuples(st.sampled_from(BATCH_SIZES), SECONDS), min_size=1, max_size=10))
def test_the_latest_calls_are_predicted_to_take_what_they_took_together(calls):
    rows, seconds = (sum(column) for column in zip(*calls, strict=True))
    assert learnt(calls).seconds(int(rows), len(calls)) == pytest.approx(seconds, rel=1e-6, abs=1e-6)


def test_empty_files_take_what_they_took():
    assert learnt([(0, 0.1)] * 3).seconds(0) == pytest.approx(0.1)


def test_calls_of_one_row_say_nothing_against_a_burst():
    pace = learnt([(1, 0.1)] * 5)
    assert pace.seconds(64, calls=4) == pytest.approx(0.4)


def test_files_of_nearly_one_size_say_nothing_of_a_far_larger_one():
    pace = learnt([(17_456, 0.001), (18_150, 0.030)])
    assert pace.seconds(2_000_000) < 0.05


def test_old_calls_fade():
    pace = learnt([(1, 10.0)] * 5 + [(1, 0.01)] * 100)
    assert pace.seconds(1) == pytest.approx(0.01, abs=0.01)


def test_before_the_first_call_nothing_is_predicted():
    assert Pace().seconds(16) == 0
