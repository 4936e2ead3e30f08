"""What is measured of generated cards, on sample cards that play the fakes."""

import numpy as np
import pytest

from training.checkup import Checkup, thumbnails
from training.doctor.overfit import COPIES, MANY_COPIES
from training.doctor.pictures import ALIKE, ALL_ALIKE, FIXED, GRID, SAME
from training.prepare import prepare


@pytest.fixture(scope="module")
def cards(many_cards, tmp_path_factory):
    """Sample cards, uint8 (200, 56, 40, 3), in an order that means nothing."""
    return np.array(prepare(many_cards, tmp_path_factory.mktemp("checkup") / "data", 56, 40).cards)


@pytest.fixture(scope="module")
def checkup(cards):
    return Checkup(cards[:100], cards[100:140])


def test_other_real_cards_are_healthy(cards, checkup):
    measured = checkup(cards[140:])
    assert measured["variety"] > SAME
    assert measured["least_variety"] > 5 * FIXED
    assert measured["similarity"] < ALIKE
    assert measured["nyquist"] < GRID / 2
    assert measured["copy_rate"] <= COPIES
    assert all(ratio < 2 for name, ratio in measured.items() if name.startswith("leak_"))


def test_training_cards_given_back_a_little_blurred_are_copies(cards, checkup):
    blurred = (cards[:60].astype(np.float32) + np.roll(cards[:60], 1, 2)) / 2
    assert checkup(blurred.astype(np.uint8))["copy_rate"] > MANY_COPIES


def test_held_out_cards_of_another_kind_say_nothing_of_copies(cards):
    assert "copy_rate" not in Checkup(cards[:100], 255 - cards[100:140])(cards[140:])


def test_one_card_again_and_again_has_no_variety(cards, checkup):
    noise = np.random.default_rng(0).integers(-4, 5, (60, 56, 40, 3))
    same = np.clip(cards[150].astype(int) + noise, 0, 255).astype(np.uint8)
    measured = checkup(same)
    assert measured["variety"] < SAME / 2
    assert measured["similarity"] > ALL_ALIKE


def test_a_corner_that_is_always_the_same_is_seen_where_the_rest_varies(cards, checkup):
    fixed = cards[140:].copy()
    fixed[:, :14, :10] = cards[0, :14, :10]
    measured = checkup(fixed)
    assert measured["least_variety"] < FIXED
    assert measured["variety"] > SAME


@pytest.mark.parametrize("direction", ["down", "across", "diagonal"])
def test_a_grid_of_single_pixels_is_seen_in_every_direction(cards, checkup, direction):
    rows, columns = np.mgrid[:56, :40]
    wave = {"down": rows, "across": columns, "diagonal": rows + columns}[direction] % 2 * 2 - 1
    griddy = np.clip(cards[140:] + 25.0 * wave[None, :, :, None], 0, 255).astype(np.uint8)
    assert checkup(griddy)["nyquist"] > checkup(cards[140:])["nyquist"] * 2


def test_without_held_out_cards_nothing_is_said_of_copies(cards):
    assert "copy_rate" not in Checkup(cards[:70], cards[:0])(cards[:60])


def test_thumbnails_are_means_whatever_the_size():
    flat = np.full((3, 50, 33, 3), 7, np.uint8)
    assert np.array_equal(thumbnails(flat), np.full((3, 16 * 16 * 3), 7, np.float32))
    tiny = np.arange(2 * 8 * 8 * 3, dtype=np.uint8).reshape(2, 8, 8, 3)
    assert np.array_equal(thumbnails(tiny), tiny.reshape(2, -1))


def test_the_smallest_cards_can_be_looked_at():
    cards = np.random.default_rng(0).integers(0, 256, (160, 8, 8, 3), np.uint8)
    measured = Checkup(cards[:60], cards[60:100])(cards[100:])
    assert all(np.isfinite(number) for number in measured.values())
