import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from training.sliced_wasserstein import blurred, enlarged, pyramid, sliced_wasserstein


def smooth_cards(count, height=64, width=64, seed=0):
    coarse = np.random.default_rng(seed).integers(0, 256, (count, 5, 5, 3)).astype(np.uint8)
    return np.stack([np.asarray(Image.fromarray(card).resize((width, height))) for card in coarse])


@pytest.mark.parametrize(("height", "width"), [(64, 64), (56, 40), (63, 45), (8, 9)])
def test_the_pyramid_adds_up_to_the_cards(height, width):
    cards = np.random.default_rng(0).integers(0, 256, (3, height, width, 3)).astype(np.uint8)
    *details, images = pyramid(cards)
    for detail in reversed(details):
        images = detail + enlarged(images, detail.shape)
    np.testing.assert_allclose(images, cards, atol=1e-3)


def test_smoothing_keeps_what_is_flat_and_spreads_a_point_as_burt_and_adelson_do():
    flat = np.full((1, 9, 7, 3), 5, np.float32)
    np.testing.assert_allclose(blurred(flat), flat, rtol=1e-6)
    point = np.zeros((1, 9, 9, 1), np.float32)
    point[0, 4, 4, 0] = 256
    taps = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1])
    np.testing.assert_allclose(blurred(point)[0, 2:7, 2:7, 0], taps)


def test_scales_end_where_the_shorter_side_would_fall_below_16():
    cards = smooth_cards(6, 112, 80)
    assert list(sliced_wasserstein(cards, cards)) == ["80x112", "40x56", "20x28", "average"]


def test_other_cards_of_a_kind_are_near_and_noise_is_far_most_at_the_finest_scale():
    real, other = smooth_cards(64), smooth_cards(64, seed=1)
    noise = np.random.default_rng(2).normal(0, 40, other.shape)
    noisy = np.clip(other + noise, 0, 255).astype(np.uint8)
    floor, harmed = sliced_wasserstein(real, other), sliced_wasserstein(real, noisy)
    assert harmed["64x64"] > 3 * floor["64x64"]
    assert harmed["64x64"] - floor["64x64"] > harmed["16x16"] - floor["16x16"]
    assert harmed["average"] == pytest.approx(np.mean([harmed[s] for s in ("64x64", "32x32", "16x16")]))


def test_a_seed_gives_the_same_distance_again():
    real, other = smooth_cards(8), smooth_cards(8, seed=1)
    assert sliced_wasserstein(real, other, 5) == sliced_wasserstein(real, other, 5)


few_cards = arrays(np.uint8, (2, 8, 8, 3))


@settings(max_examples=10)
@given(few_cards, few_cards | st.just(np.zeros((2, 8, 8, 3), np.uint8)))
def test_any_cards_have_a_finite_distance(real, fake):
    assert 0 <= sliced_wasserstein(real, fake)["average"] < np.inf
