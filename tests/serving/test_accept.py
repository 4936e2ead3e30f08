import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.accept import MOST, best

OFFERS = ["application/json", "image/png", "image/webp"]


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ("", "application/json"),
        ("*/*", "application/json"),
        ("image/webp", "image/webp"),
        ("image/*", "image/png"),
        ("image/*, */*", "image/png"),
        ("image/png;q=0.5, image/webp;q=0.9", "image/webp"),
        ("image/*;q=0.9, image/png;q=0.1", "image/webp"),
        ("*/*, application/json;q=0", "image/png"),
        ("application/json, text/plain, */*", "application/json"),
        ("text/html, image/avif, image/webp, */*;q=0.8", "image/webp"),
        ("IMAGE/PNG ; Q=1", "image/png"),
        ("text/html", None),
        ("image/png, image/webp;q=much", "image/png"),  # a q that cannot be read is 1, and no more than that
        ("image/png, image/webp;q=7", "image/png"),
        ("image/webp;q=nan, image/png;q=1", "image/png"),
        ("image/png;q=1, image/webp", "image/png"),
        ("image/png;q=0.9, image/webp", "image/webp"),
        ("image/webp;q=1;q=0", "image/webp"),
        ("text, image/", "application/json"),  # nothing that can be read is no wish
        ("image/png;q=0", None),
        ("*/*;q=0", None),
    ],
)
def test_the_best_liked_offer_is_chosen(accept, chosen):
    assert best(accept, OFFERS) == chosen


@given(st.text(max_size=60) | st.text("*/;,q=01. imagepng", max_size=60))
def test_any_header_gives_an_offer_or_none(accept):
    assert best(accept, OFFERS) in {*OFFERS, None}


def test_of_many_ranges_the_first_are_read():
    assert best("a/b," * (MOST - 1) + "image/png", ["image/jpeg", "image/png"]) == "image/png"
    assert best("a/b," * 8_000 + "image/png", ["image/jpeg", "image/png"]) is None
