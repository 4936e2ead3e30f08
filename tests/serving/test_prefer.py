import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.prefer import preferences


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
    ],
)
def test_preferences_are_read_as_the_rfc_has_it(headers, found):
    assert preferences(headers) == found


@given(st.lists(st.text(max_size=40) | st.text('=,;" \\\\wait0', max_size=40), max_size=3))
def test_any_header_is_read(headers):
    assert all(name == name.lower() for name in preferences(headers))
