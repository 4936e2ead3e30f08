"""PNG files: any decoder finds every pixel again."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from serving import png

sides = st.integers(1, 40)
cards = st.tuples(sides, sides, st.just(3)).flatmap(lambda shape: arrays.arrays(np.uint8, shape))


def read(file: bytes) -> np.ndarray:
    """Decode by Pillow, which checks every checksum."""
    Image.open(io.BytesIO(file)).verify()
    image = Image.open(io.BytesIO(file))
    assert (image.format, image.mode) == ("PNG", "RGB")
    return np.asarray(image)


@given(cards)
def test_every_pixel_of_any_card_comes_back(card):
    assert np.array_equal(read(png.encode(card)), card)


@given(cards)
def test_the_same_pixels_give_the_same_bytes_wherever_they_lie_in_memory(card):
    apart = np.empty((card.shape[0], 2 * card.shape[1], 3), np.uint8)[:, ::2]
    apart[:] = card
    assert png.encode(apart) == png.encode(card)


@pytest.mark.parametrize("size", [(8, 1500), (1500, 8), (700, 900)])
def test_large_pictures_and_long_rows_come_back_too(size):
    noise = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    assert np.array_equal(read(png.encode(noise)), noise)


def test_a_picture_gets_smaller():
    """As cards have soft shades and some grain: unfiltered, or packed at level 0, it takes three quarters."""
    y, x, channel = np.mgrid[0:280, 0:200, 0:3]
    grain = np.random.default_rng(0).normal(0, 2, y.shape)
    picture = (100 + 60 * np.sin(y / 40) + 50 * np.cos(x / 30) + 20 * channel + grain).clip(0, 255)
    assert len(png.encode(picture.astype(np.uint8))) < 0.6 * picture.size
