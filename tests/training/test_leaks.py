import numpy as np
import pytest
import tensorflow as tf

from training.augment import augment, colour, cut_out, translate
from training.doctor.pictures import LEAKED
from training.leaks import beside, traces
from training.models import to_pixels, to_unit
from training.prepare import prepare

TRACES = {
    colour: {"contrast"},
    translate: {"border", "grey_edges"},
    cut_out: {"grey_holes"},
    augment: {"grey_edges", "grey_holes", "contrast"},
}


@pytest.fixture(scope="module")
def halves(many_cards, tmp_path_factory):
    """Two times 32 sample cards, uint8 (32, 56, 40, 3)."""
    cards = np.array(prepare(many_cards, tmp_path_factory.mktemp("leaks") / "data", 56, 40).cards)
    return cards[:64:2], cards[1:64:2]


def leaked(cards, change, probability):
    """Draw what a generator would that had learnt the augmentation with the cards."""
    return to_pixels(change(to_unit(tf.constant(cards)), probability, tf.constant([1, 2]))).numpy()


def leaking(fakes, reals):
    ratios = beside(traces(fakes), traces(reals))
    return {name for name, ratio in ratios.items() if ratio > LEAKED}


def test_one_half_of_the_real_cards_has_no_leak_against_the_other(halves):
    ratios = beside(*map(traces, halves))
    assert all(0.5 < ratio < 2 for ratio in ratios.values())


@pytest.mark.parametrize("change", TRACES)
def test_an_augmentation_that_a_third_of_the_fakes_show_is_named(halves, change):
    assert TRACES[change] <= leaking(leaked(halves[0], change, 0.35), halves[1])


def test_cards_that_are_grey_themselves_are_no_leak():
    framed = np.random.default_rng(0).integers(0, 256, (128, 56, 40, 3), dtype=np.uint8)
    framed[:, :4] = framed[:, 20:40, 5:30] = 128
    assert leaking(framed[:64], framed[64:]) == set()


def test_an_outline_whose_grey_fakes_miss_is_no_leak():
    outlined = np.random.default_rng(0).integers(0, 256, (128, 56, 40, 3), dtype=np.uint8)
    outlined[:, [0, -1]] = outlined[:, :, [0, -1]] = 90
    outlined[:40, [0, -1]] = outlined[:40, :, [0, -1]] = 120
    assert leaking(outlined[:64], outlined[64:]) == set()
