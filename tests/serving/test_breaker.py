"""The circuit breaker: when it opens, who probes, and when it closes again."""

from hypothesis import given
from hypothesis import strategies as st

from serving.breaker import FAILURES, PAUSE, Breaker


def opened(now: float = 0.0) -> Breaker:
    breaker = Breaker()
    for _ in range(FAILURES):
        assert breaker.closed
        breaker.failed(now)
    assert not breaker.closed
    return breaker


def test_after_a_pause_one_caller_probes_and_the_others_wait():
    breaker = opened(10.0)
    assert not breaker.may_probe(10.0 + PAUSE / 2)
    assert breaker.wait(10.0 + PAUSE / 4) == PAUSE * 3 / 4
    assert breaker.wait(10.0 + 2 * PAUSE) == 0
    assert breaker.may_probe(10.0 + PAUSE)
    assert not breaker.may_probe(10.0 + PAUSE)


def test_a_probe_that_fails_begins_another_pause_and_one_that_succeeds_ends_it():
    breaker = opened()
    assert breaker.may_probe(PAUSE)
    breaker.failed(PAUSE)
    assert not breaker.may_probe(1.5 * PAUSE)
    assert breaker.may_probe(2 * PAUSE)
    breaker.succeeded()
    assert breaker.closed


@given(st.lists(st.booleans(), max_size=60))
def test_it_is_open_exactly_after_failures_in_a_row(answers):
    breaker = Breaker()
    for answered in answers:
        if answered:
            breaker.succeeded()
        else:
            breaker.failed(0.0)
    assert breaker.closed == (len(answers) < FAILURES or any(answers[-FAILURES:]))
