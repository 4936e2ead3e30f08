import itertools
import threading
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.dataset import BadDataset, Dataset
from training.feed import CardFile, Feed


def numbered(count: int, held_out: int) -> Dataset:
    """Cards of one pixel that say their row, labelled by whether it is odd."""
    cards = np.arange(count, dtype=np.uint8).reshape(-1, 1, 1, 1)
    rows = np.arange(count)
    return Dataset(
        cards, rows[:-held_out], rows[-held_out:], "", (rows % 2).astype(np.int32), ("even", "odd")
    )


@pytest.fixture
def on_disk(tmp_path) -> Dataset:
    """Forty cards in a file, as load opens them."""
    pixels = np.random.default_rng(0).integers(0, 256, (40, 8, 6, 3), np.uint8)
    pixels.tofile(tmp_path / "cards.uint8")
    cards = np.memmap(tmp_path / "cards.uint8", np.uint8, "r", shape=pixels.shape)
    return Dataset(cards, np.arange(36), np.arange(36, 40), "")


def shown(data: Dataset, steps: int, **options) -> list[list[int]]:
    with Feed(data, 8, **options) as feed:
        return [feed.take(1).cards.ravel().tolist() for _ in range(steps)]


@given(st.integers(0, 40), st.integers(0, 3))
def test_batches_from_a_later_step_are_those_of_the_unbroken_run(first, seed):
    data = numbered(37, held_out=7)
    assert shown(data, 5, seed=seed, first=first) == shown(data, first + 5, seed=seed)[first:]


def test_a_pass_shows_each_training_card_once_and_no_held_out_card():
    batches = shown(numbered(40, held_out=8), 8, seed=1)
    passes = [list(itertools.chain(*batches[:4])), list(itertools.chain(*batches[4:]))]
    assert sorted(passes[0]) == sorted(passes[1]) == list(range(32))
    assert passes[0] != passes[1]


@given(st.lists(st.integers(1, 7), min_size=1, max_size=6))
def test_several_steps_at_once_are_the_same_batches_stacked(counts):
    data = numbered(37, held_out=7)
    with Feed(data, 8, seed=3) as single, Feed(data, 8, seed=3) as several:
        for count in counts:
            block = several.take(count)
            assert block.cards.shape == (count, 8, 1, 1, 1)
            for cards, labels in zip(*block, strict=True):
                expected = single.take(1)
                np.testing.assert_array_equal(cards, expected.cards[0])
                np.testing.assert_array_equal(labels, expected.labels[0])


def test_every_card_comes_with_its_own_label():
    with Feed(numbered(40, held_out=8), 8, seed=0) as feed:
        for _ in range(5):
            cards, labels = feed.take(1)
            np.testing.assert_array_equal(cards.ravel() % 2, labels.ravel())


def test_cards_read_from_disk_are_those_held_in_memory(on_disk):
    plain = replace(on_disk, cards=np.array(on_disk.cards))
    expected = shown(plain, 9, seed=1)
    assert shown(on_disk, 9, seed=1, resident=0) == expected
    assert shown(on_disk, 9, seed=1, resident=on_disk.cards.nbytes) == expected


def test_only_what_fits_the_given_memory_is_held_in_it(on_disk):
    size = on_disk.cards.nbytes
    with Feed(on_disk, 8, seed=1, resident=size) as held, Feed(on_disk, 8, seed=1, resident=size - 1) as read:
        assert isinstance(held.cards, np.ndarray)
        assert not isinstance(held.cards, np.memmap)
        assert isinstance(read.cards, CardFile)


def test_part_of_a_mapped_file_is_not_taken_for_its_beginning(on_disk):
    part = replace(on_disk, cards=on_disk.cards[10:], train=np.arange(16), holdout=np.arange(16, 20))
    plain = replace(part, cards=np.array(part.cards))
    assert shown(part, 4, seed=1, resident=0) == shown(plain, 4, seed=1)


@pytest.mark.parametrize("resident", [0, 10**6])
def test_a_file_that_shrank_ends_the_run_with_words(on_disk, tmp_path, resident):
    with (tmp_path / "cards.uint8").open("r+b") as file:
        file.truncate(20 * 8 * 6 * 3)
    with pytest.raises(BadDataset, match=r"cards\.uint8 can no longer be read: it is shorter.*--resume"):
        shown(on_disk, 9, seed=1, resident=resident)


def test_a_file_that_is_gone_is_named(on_disk, tmp_path):
    (tmp_path / "cards.uint8").unlink()
    with pytest.raises(BadDataset, match=r"cards\.uint8 can no longer be read: No such file"):
        Feed(on_disk, 8, seed=1)


def test_a_closed_feed_leaves_no_thread_and_no_open_file(on_disk):
    before = set(threading.enumerate())
    with Feed(on_disk, 8, seed=1, resident=0) as feed:
        feed.take(1)
        assert set(threading.enumerate()) > before
    assert set(threading.enumerate()) == before
    assert isinstance(feed.cards, CardFile)
    assert feed.cards.file.closed


def test_waiting_for_cards_is_counted(on_disk):
    with Feed(on_disk, 8, seed=1, resident=0) as feed:
        assert feed.waited == 0
        feed.take(1)
        once = feed.waited
        feed.take(3)
        assert 0 < once < feed.waited
