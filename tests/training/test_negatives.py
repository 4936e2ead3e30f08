import numpy as np
import pytest
import tensorflow as tf

from training.negatives import KINDS, negatives

SEED = tf.constant([5, 7])
CARDS = tf.random.stateless_uniform((8, 14, 10, 3), [1, 2], -1, 1)


@pytest.fixture
def pictures():
    return negatives(CARDS, SEED).numpy()


def test_negatives_are_pictures_in_the_networks_range_and_none_is_its_card(pictures):
    assert pictures.shape == CARDS.shape
    assert np.abs(pictures).max() <= 1
    assert np.all(np.abs(pictures - CARDS).mean(axis=(1, 2, 3)) > 0.1)


def test_each_kind_takes_its_turn(pictures):
    plain = np.ptp(pictures, axis=(1, 2)).max(axis=1) == 0
    np.testing.assert_array_equal(plain, np.arange(8) % KINDS == 1)
    np.testing.assert_array_equal(pictures[3], -CARDS[3, ::-1])
    np.testing.assert_array_equal(pictures[2, 7:, 5:], CARDS[2, :7, :5])
    np.testing.assert_array_equal(pictures[2, :7, :5], CARDS[2, 7:, 5:])


def test_the_same_seed_makes_the_same_negatives_and_another_other_noise(pictures):
    np.testing.assert_array_equal(pictures, negatives(CARDS, SEED))
    assert np.any(pictures[0] != negatives(CARDS, SEED + 1)[0])
