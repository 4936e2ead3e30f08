import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.prefer import MOST, preferences


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ([], {}),
        ([""], {}),
        (["handling=lenient"], {"handling": "lenient"}),
        (["Handling = Lenient"], {"handling": "Lenient"}),
        (["respond-async, wait=10"], {"respond-async": "", "wait": "10"}),
        (["wait=10", "handling=strict"], {"wait": "10", "handling": "strict"}),
        (["wait=1, wait=2"], {"wait": "1"}),
        (['foo="a, b\\"c"; bar=1, x=2'], {"foo": 'a, b"c', "x": "2"}),
        (['foo=""'], {"foo": ""}),
        (["return=minimal;q=1;x"], {"return": "minimal"}),
        (["=3, two words, wait=5"], {"wait": "5"}),
        (['wait="5'], {}),
        (['wait="5, wait=6'], {}),
        (["wait = 5 ; x , handling = lenient "], {"wait": "5", "handling": "lenient"}),
    ],
)
def test_preferences_are_read_as_the_rfc_has_it(headers, found):
    assert preferences(headers) == found


@given(st.lists(st.text(max_size=40) | st.text('=,;" \\\\wait0', max_size=40), max_size=3))
def test_any_header_is_read(headers):
    assert all(name == name.lower() for name in preferences(headers))


@pytest.mark.parametrize("piece", [" ", "\t", '\\"', '"', "\\", "a ", ";", "=", ",", 'a="', "a=b;"])
@pytest.mark.parametrize(("start", "end"), [("", ""), ("a", "@"), ('"', "\\"), ('a="', "@")])
def test_the_longest_header_takes_no_time(piece, start, end):
    """The event loop reads it, before anybody knows whose it is."""
    began = time.process_time()
    preferences([start + 30_000 // len(piece) * piece + end])
    assert time.process_time() - began < 0.5


def test_of_many_entries_the_first_are_read():
    assert preferences(["x," * (MOST - 1) + "wait=5"]) == {"x": "", "wait": "5"}
    assert preferences(["x," * 15_000 + "wait=5"]) == {"x": ""}
