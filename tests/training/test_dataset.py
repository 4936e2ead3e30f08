import itertools
import json
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from training import dataset
from training.dataset import BadDataset, batches, holdout_hashes, prepare


def picture(number, size=(50, 70)):
    rng = np.random.default_rng(number)
    return Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), np.uint8))


@pytest.fixture
def folder(tmp_path):
    """Forty different pictures of all five formats and several sizes, nested."""
    root = tmp_path / "cards"
    (root / "deep" / "deeper").mkdir(parents=True)
    places = itertools.cycle([root, root / "deep", root / "deep" / "deeper"])
    suffixes = itertools.cycle(["png", "jpg", "webp", "bmp", "gif", "JPEG"])
    for number, place, suffix in zip(range(40), places, suffixes, strict=False):
        picture(number, (50 + number, 70)).save(place / f"{number}.{suffix}")
    return root


def manifest(out):
    return json.loads((out / "manifest.json").read_text())


def test_any_mix_of_formats_and_sizes_becomes_one_array(folder, tmp_path):
    cards = prepare(folder, tmp_path / "data", 56, 40)
    assert cards.cards.shape == (40, 56, 40, 3)
    assert isinstance(cards.cards, np.memmap)
    assert len(cards.train) + len(cards.holdout) == 40
    assert not set(cards.train) & set(cards.holdout)


def test_every_row_is_the_picture_that_the_manifest_names(folder, tmp_path):
    from serving.cards import FOLDER_FORMATS, decode, fit

    cards = prepare(folder, tmp_path / "data", 56, 40)
    for row, card in enumerate(manifest(tmp_path / "data")["cards"]):
        expected = fit(decode((folder / card["file"]).read_bytes(), FOLDER_FORMATS).card, 56, 40)
        np.testing.assert_array_equal(cards.cards[row], expected)


def test_unreadable_files_are_skipped_with_their_reason(folder, tmp_path, capsys):
    (folder / "empty.png").touch()
    (folder / "text.jpg").write_text("not a picture")
    whole = (folder / "0.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "notes.txt").write_text("no picture and not said to be one")
    prepare(folder, tmp_path / "data", 56, 40)
    skipped = {skip["file"]: skip["reason"] for skip in manifest(tmp_path / "data")["skipped"]}
    assert skipped.keys() == {"empty.png", "text.jpg", "cut.png"}
    assert "empty" in skipped["empty.png"]
    assert "none of PNG" in skipped["text.jpg"]
    assert "damaged" in skipped["cut.png"]
    assert "skipped cut.png: " in capsys.readouterr().err


def test_a_photograph_larger_than_an_upload_may_be_is_read(folder, tmp_path):
    Image.new("RGB", (4400, 4400), "navy").save(folder / "photograph.jpg")
    prepare(folder, tmp_path / "data", 56, 40)
    assert manifest(tmp_path / "data")["skipped"] == []


def test_copies_never_straddle_the_split(tmp_path):
    folder = tmp_path / "cards"
    folder.mkdir()
    for number in range(60):
        for name in ("a", "b", "c"):
            picture(number).save(folder / f"{name}{number}.png")
    data = prepare(folder, tmp_path / "data", 56, 40)
    split = {}
    for card in manifest(tmp_path / "data")["cards"]:
        split.setdefault(card["sha256"], set()).add(card["holdout"])
    assert all(len(sides) == 1 for sides in split.values())
    assert 0.05 <= len(data.holdout) / 180 <= 0.1


def test_the_split_does_not_depend_on_names(folder, tmp_path):
    def held_out(out):
        return {card["sha256"] for card in manifest(out)["cards"] if card["holdout"]}

    prepare(folder, tmp_path / "first", 56, 40)
    for number, path in enumerate(sorted(folder.rglob("*.png"))):
        path.rename(folder / f"renamed-{number}.png")
    prepare(folder, tmp_path / "second", 56, 40)
    assert held_out(tmp_path / "first") == held_out(tmp_path / "second")


@given(st.lists(st.integers(0, 10**6).map("{:064x}".format), min_size=16, max_size=3000))
def test_five_to_ten_percent_of_distinct_cards_are_held_out_and_never_more_than_a_thousand(hashes):
    distinct = sorted(set(hashes))
    held_out = holdout_hashes(distinct)
    assert 1 <= len(held_out) <= 1000
    assert len(held_out) <= max(1, 0.1 * len(distinct))


def test_a_large_folder_holds_out_a_thousand():
    assert len(holdout_hashes([f"{number:064x}" for number in range(50_000)])) == 1000


@pytest.mark.parametrize("readable", [0, 15])
def test_too_few_cards_are_an_error_that_says_how_many_are_needed(tmp_path, readable):
    folder = tmp_path / "cards"
    folder.mkdir()
    for number in range(readable):
        picture(number).save(folder / f"{number}.png")
    (folder / "broken.png").write_text("no")
    with pytest.raises(BadDataset, match=rf"(?s){readable} different readable.*at least 16.*broken.png"):
        prepare(folder, tmp_path / "data", 56, 40)
    assert [path.name for path in tmp_path.iterdir()] == ["cards"]


def test_a_folder_that_is_missing_or_has_no_pictures_is_named(tmp_path):
    with pytest.raises(BadDataset, match="not a folder"):
        prepare(tmp_path / "nothing", tmp_path / "data", 56, 40)
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadDataset, match="No PNG, JPEG, WebP, BMP or GIF"):
        prepare(tmp_path / "empty", tmp_path / "data", 56, 40)


def test_a_dataset_is_never_overwritten(folder, tmp_path):
    first = prepare(folder, tmp_path / "data", 56, 40)
    with pytest.raises(BadDataset, match="there already"):
        prepare(folder, tmp_path / "data", 64, 64)
    assert dataset.load(tmp_path / "data").fingerprint == first.fingerprint


def test_what_is_no_dataset_or_a_damaged_one_is_said_to_be(folder, tmp_path):
    with pytest.raises(BadDataset, match="holofoil prepare"):
        dataset.load(tmp_path / "nothing")
    prepare(folder, tmp_path / "data", 56, 40)
    with (tmp_path / "data" / "cards.uint8").open("r+b") as file:
        file.truncate(1000)
    with pytest.raises(BadDataset, match="damaged"):
        dataset.load(tmp_path / "data")


@given(st.integers(0, 40), st.integers(0, 3))
def test_batches_from_a_later_step_are_those_of_the_unbroken_run(first, seed):
    cards = np.arange(37, dtype=np.uint8).reshape(37, 1, 1, 1)
    data = dataset.Dataset(cards, np.arange(30), np.arange(30, 37), "")
    unbroken = itertools.islice(batches(data, 8, seed), first, first + 5)
    resumed = itertools.islice(batches(data, 8, seed, first), 5)
    assert [batch.tolist() for batch in unbroken] == [batch.tolist() for batch in resumed]


def test_a_pass_shows_each_training_card_once_and_no_held_out_card():
    cards = np.arange(40, dtype=np.uint8).reshape(40, 1, 1, 1)
    data = dataset.Dataset(cards, np.arange(32), np.arange(32, 40), "")
    stream = batches(data, 8, seed=1)
    passes = [np.concatenate([next(stream) for _ in range(4)]).ravel().tolist() for _ in range(2)]
    assert sorted(passes[0]) == sorted(passes[1]) == list(range(32))
    assert passes[0] != passes[1]


def test_a_batch_larger_than_the_data_is_refused():
    data = dataset.Dataset(np.zeros((20, 1, 1, 3), np.uint8), np.arange(18), np.arange(18, 20), "")
    with pytest.raises(BadDataset, match="Lower --batch"):
        data.refuse_batch(32)


def test_copies_of_a_few_cards_are_no_dataset(tmp_path):
    folder = tmp_path / "cards"
    folder.mkdir()
    for number in range(60):
        picture(number % 15).save(folder / f"{number}.png")
    with pytest.raises(BadDataset, match="15 different"):
        prepare(folder, tmp_path / "data", 56, 40)


@pytest.mark.parametrize("size", [(0, 0), (-8, 8), (8, 0), (7, 56), (200_000, 200_000)])
def test_a_size_that_no_card_has_is_refused_before_a_file_is_read(tmp_path, size):
    with pytest.raises(BadDataset, match="8 to 1024 pixels"):
        prepare(tmp_path / "nothing", tmp_path / "data", *size)


def test_linked_folders_are_read_once_even_in_a_circle(folder, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    picture(100).save(tmp_path / "elsewhere" / "linked.png")
    (folder / "link").symlink_to(tmp_path / "elsewhere")
    (folder / "deep" / "circle").symlink_to(folder)
    prepare(folder, tmp_path / "data", 56, 40)
    names = [card["file"] for card in manifest(tmp_path / "data")["cards"]]
    assert len(names) == 41
    assert "link/linked.png" in names


@pytest.mark.skipif(os.geteuid() == 0, reason="root enters every folder")
def test_a_folder_that_cannot_be_entered_is_listed(folder, tmp_path):
    closed = folder / "deep" / "deeper"
    closed.chmod(0)
    try:
        prepare(folder, tmp_path / "data", 56, 40)
    finally:
        closed.chmod(0o755)
    assert manifest(tmp_path / "data")["skipped"] == [{"file": "deep/deeper", "reason": "Permission denied."}]
