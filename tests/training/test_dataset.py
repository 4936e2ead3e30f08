import json

import numpy as np
import pytest

from training.dataset import BadDataset, Dataset, load


def write(folder, names, held_out=()):
    """A prepared dataset of tiny cards under these names, as prepare writes it."""
    folder.mkdir()
    cards = np.random.default_rng(0).integers(0, 256, (len(names), 8, 8, 3), np.uint8)
    cards.tofile(folder / "cards.uint8")
    rows = [
        {"file": name, "sha256": f"{row:064x}", "holdout": row in held_out} for row, name in enumerate(names)
    ]
    manifest = {"format": 1, "height": 8, "width": 8, "cards": rows, "skipped": []}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def kinds(**counts):
    return [f"{kind}/deep/{number}.png" for kind, count in counts.items() for number in range(count)]


def test_what_is_no_dataset_or_a_damaged_one_is_said_to_be(tmp_path):
    with pytest.raises(BadDataset, match=r"no dataset at .*holofoil prepare FOLDER .*nothing"):
        load(tmp_path / "nothing")
    (tmp_path / "photos").mkdir()  # prepare would refuse to write there
    with pytest.raises(BadDataset, match=r"not a prepared dataset.*holofoil prepare .*photos DATA"):
        load(tmp_path / "photos")
    folder = write(tmp_path / "data", kinds(fire=20))
    with (folder / "cards.uint8").open("r+b") as file:
        file.truncate(1000)
    with pytest.raises(BadDataset, match="damaged"):
        load(folder)


def test_a_batch_larger_than_the_data_is_refused():
    data = Dataset(np.zeros((20, 1, 1, 3), np.uint8), np.arange(18), np.arange(18, 20), "")
    with pytest.raises(BadDataset, match="Lower --batch"):
        data.refuse_batch(32)


def test_without_labels_every_card_is_of_one_kind_that_has_no_name(tmp_path):
    data = load(write(tmp_path / "data", kinds(water=10, fire=10), held_out=[3]))
    assert data.classes == ()
    assert data.labels.dtype == np.int32
    assert data.labels.tolist() == [0] * 20


def test_a_cards_first_folder_is_its_kind_whatever_the_order(tmp_path):
    names = [name for pair in zip(kinds(water=10), kinds(fire=10), strict=True) for name in pair]
    folder = write(tmp_path / "data", names, held_out=[3])
    data = load(folder, labels="folders")
    assert data.classes == ("fire", "water")
    assert data.labels.dtype == np.int32
    assert data.labels.tolist() == [1, 0] * 10
    assert data.fingerprint == load(folder).fingerprint


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ([*kinds(fire=10, water=10), "stray.png"], r"1 cards, stray\.png the first, lie in no sub-folder"),
        (kinds(fire=20), "All cards lie in one sub-folder"),
        # Row 0 is held out: of eight wind cards seven are left to train on.
        (kinds(wind=8, fire=9, earth=2), r"fewer than 8 cards to train on: earth \(2\), wind \(7\)"),
    ],
)
def test_folders_that_make_no_kinds_are_refused_with_words(tmp_path, names, words):
    folder = write(tmp_path / "data", names, held_out=[0])
    with pytest.raises(BadDataset, match=words):
        load(folder, labels="folders")
    assert len(load(folder).cards) == len(names)
