from pathlib import Path

import numpy as np
import pytest

from training import dataset, features
from training.efficientnet import SIZE
from training.features import CACHE

GOLDEN = Path(__file__).parents[1] / "golden" / "features.npz"


def seeded_cards(count, height, width):
    """Smooth colours under a little noise: neither flat nor noise alone."""
    random = np.random.default_rng([height, width])
    y, x = np.mgrid[:height, :width] / max(height, width)
    waves = np.sin(random.uniform(2, 20, (count, 1, 1, 3)) * (y + 2 * x)[None, :, :, None])
    noise = random.normal(0, 12, (count, height, width, 3))
    return np.clip(128 + 90 * waves + noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("size", [(40, 56), (64, 64), (224, 224), (211, 300)])
def test_features_are_those_of_another_implementation_with_the_same_weights(size):
    width, height = size
    with np.load(GOLDEN) as golden:
        expected = golden[f"{width}x{height}"]
    found = features.features(seeded_cards(3, height, width))
    assert (found.shape, found.dtype) == ((3, SIZE), np.float32)
    np.testing.assert_allclose(found, expected, atol=2e-3)


def test_a_row_alone_is_the_row_in_any_batch_and_the_same_each_time():
    cards = seeded_cards(features.BATCH + 3, 56, 40)
    together = features.features(cards)
    np.testing.assert_allclose(features.features(cards[-1:]), together[-1:], atol=1e-4)
    np.testing.assert_allclose(features.features(cards), together, atol=1e-5)
    assert np.abs(together[0] - together[1]).max() > 0.1


def test_no_cards_have_no_features():
    assert features.features(seeded_cards(0, 56, 40)).shape == (0, SIZE)


def test_features_of_a_dataset_are_computed_once(tiny_run, tmp_path):
    cards = dataset.load(tiny_run.data)
    few, more = cards.train[[5, 1, 9]], cards.train[[9, 2, 5]]
    first = features.of_dataset(cards, few, tmp_path)
    np.testing.assert_allclose(first, features.features(cards.cards[few]), atol=1e-4)
    # What the file says is believed: a mark left in it comes back, and what is missing is added.
    marked = np.full_like(first, 7)
    features.remember(tmp_path / CACHE, cards.fingerprint, few, marked)
    second = features.of_dataset(cards, more, tmp_path)
    assert (second[[0, 2]] == 7).all()
    np.testing.assert_allclose(second[1], features.features(cards.cards[more[1:2]])[0], atol=1e-4)
    assert set(features.remembered(tmp_path / CACHE, cards.fingerprint)[0]) == {*few, *more}


def test_features_of_other_cards_and_damaged_files_are_not_believed(tiny_run, tmp_path):
    cards = dataset.load(tiny_run.data)
    rows = cards.train[:2]
    true = features.of_dataset(cards, rows)
    features.remember(tmp_path / CACHE, "of other cards", rows, np.full_like(true, 7))
    np.testing.assert_allclose(features.of_dataset(cards, rows, tmp_path), true, atol=1e-4)
    whole = (tmp_path / CACHE).read_bytes()
    (tmp_path / CACHE).write_bytes(whole[: len(whole) // 2])
    np.testing.assert_allclose(features.of_dataset(cards, rows, tmp_path), true, atol=1e-4)


def test_a_folder_that_takes_no_file_costs_time_and_nothing_else(tiny_run, tmp_path):
    cards = dataset.load(tiny_run.data)
    assert features.of_dataset(cards, cards.train[:2], tmp_path / "nowhere").shape == (2, SIZE)
