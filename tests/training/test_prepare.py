import itertools
import json
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.fakes import pictures
from training import dataset
from training.config import BadConfig
from training.dataset import BadDataset
from training.folder import Skip, in_threads, parse_size, refuse_size
from training.prepare import holdout_hashes, left_out, prepare
from training.presets import configure


def picture(number, size=(50, 70)):
    rng = np.random.default_rng(list(number) if isinstance(number, bytes) else number)
    return Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), np.uint8))


@pytest.fixture
def folder(tmp_path):
    """Forty different pictures of all five formats and several sizes, all portrait, nested."""
    root = tmp_path / "cards"
    (root / "deep" / "deeper").mkdir(parents=True)
    places = itertools.cycle([root, root / "deep", root / "deep" / "deeper"])
    suffixes = itertools.cycle(["png", "jpg", "webp", "bmp", "gif", "JPEG"])
    for number, place, suffix in zip(range(40), places, suffixes, strict=False):
        picture(number, (50 + number % 15, 70)).save(place / f"{number}.{suffix}")
    return root


def manifest(out):
    return json.loads((out / "manifest.json").read_text())


def test_any_mix_of_formats_and_sizes_becomes_one_array(folder, tmp_path):
    cards = prepare(folder, tmp_path / "data", 56, 40)
    assert cards.cards.shape == (40, 56, 40, 3)
    assert isinstance(cards.cards, np.memmap)
    assert len(cards.train) + len(cards.holdout) == 40
    assert not set(cards.train) & set(cards.holdout)
    widths = [50 + number % 15 for number in range(40)]
    assert cards.aspect == pytest.approx(
        np.median(widths) / 70, abs=1e-4
    )  # as they came, not as they are cut


def test_every_row_is_the_picture_that_the_manifest_names(folder, tmp_path):
    from serving.cards import FOLDER_FORMATS, fit
    from tests.fakes.pictures import decode

    cards = prepare(folder, tmp_path / "data", 56, 40)
    for row, card in enumerate(manifest(tmp_path / "data")["cards"]):
        expected = fit(decode((folder / card["file"]).read_bytes(), FOLDER_FORMATS).card, 56, 40)
        np.testing.assert_array_equal(cards.cards[row], expected)


def test_unreadable_files_are_skipped_with_their_reason(folder, tmp_path, capsys):
    (folder / "empty.png").touch()
    (folder / "text.jpg").write_text("not a picture")
    whole = (folder / "0.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "away.png").symlink_to("/proc/self/mem")  # a file that the system refuses to read
    (folder / "notes.txt").write_text("no picture and not said to be one")
    (folder / "clear\x1b[2J.png").touch()  # would clear a terminal
    prepare(folder, tmp_path / "data", 56, 40)
    skipped = {skip["file"]: skip["reason"] for skip in manifest(tmp_path / "data")["skipped"]}
    assert skipped.pop("clear\x1b[2J.png")
    assert skipped.keys() == {"empty.png", "text.jpg", "cut.png", "away.png"}
    assert "cannot be read: Input/output error" in skipped["away.png"]
    assert "empty" in skipped["empty.png"]
    assert "none of PNG" in skipped["text.jpg"]
    assert "damaged" in skipped["cut.png"]
    said = capsys.readouterr().err
    assert all(f"{name}: {reason}" in said for name, reason in skipped.items())
    assert "\x1b" not in said


def test_pictures_of_other_formats_and_broken_links_are_told(folder, tmp_path, capsys):
    for name in ("a.tif", "deep/b.TIF", "c.heic", "notes.txt", "._d.heic"):
        (folder / name).touch()
    (folder / "gone.png").symlink_to("nowhere.png")
    picture(100).save(folder / "old.jfif", "JPEG")
    cards = prepare(folder, tmp_path / "data", 56, 40)
    assert len(cards.cards) == 41
    said = capsys.readouterr().err
    assert said.count("Not looked at: 1 .heic, 2 .tif. Save them as PNG or JPEG.") == 1
    assert "gone.png: The link leads nowhere." in said


def test_a_photograph_larger_than_an_upload_may_be_is_read(folder, tmp_path):
    picture(100).resize((4000, 5600)).save(folder / "photograph.jpg")
    prepare(folder, tmp_path / "data", 56, 40)
    assert manifest(tmp_path / "data")["skipped"] == []


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
    assert held_out == holdout_hashes(distinct[::-1])  # in whatever order files are found


def test_a_large_folder_holds_out_a_thousand():
    assert len(holdout_hashes([f"{number:064x}" for number in range(50_000)])) == 1000


def test_of_many_pictures_none_is_passed_over_and_their_order_stays():
    assert list(in_threads(str, list(range(1_100)), "")) == [str(number) for number in range(1_100)]


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
    (tmp_path / "empty" / "scan.heic").touch()
    with pytest.raises(BadDataset, match=r"Not looked at: 1 \.heic"):
        prepare(tmp_path / "empty", tmp_path / "data", 56, 40)


def test_a_dataset_is_never_overwritten(folder, tmp_path):
    first = prepare(folder, tmp_path / "data", 56, 40)
    with pytest.raises(BadDataset, match="there already"):
        prepare(folder, tmp_path / "data", 64, 64)
    assert dataset.load(tmp_path / "data").fingerprint == first.fingerprint


def test_copies_of_a_few_cards_are_no_dataset(tmp_path):
    folder = tmp_path / "cards"
    folder.mkdir()
    for number in range(60):
        picture(number % 15).save(folder / f"{number}.png")
    with pytest.raises(BadDataset, match=r"(?s)15 different.*45 show the same.*and 35 more"):
        prepare(folder, tmp_path / "data", 56, 40)


def test_a_picture_that_lies_there_twice_counts_once(folder, tmp_path, capsys):
    (folder / "deep" / "copy.png").write_bytes((folder / "0.png").read_bytes())
    Image.open(folder / "0.png").save(folder / "other-file-same-pixels.bmp")
    data = prepare(folder, tmp_path / "data", 56, 40)
    assert len(data.cards) == 40
    assert manifest(tmp_path / "data")["skipped"] == [
        {"file": name, "code": "copy", "reason": "Same as deep/copy.png."}
        for name in ("0.png", "other-file-same-pixels.bmp")
    ]
    assert "2 show the same as another picture" in capsys.readouterr().err


def test_a_loose_copy_does_not_take_a_card_from_its_kind(tmp_path):
    folder = tmp_path / "cards"
    for kind in ("elves", "goblins"):
        (folder / kind).mkdir(parents=True)
        for number in range(12):
            picture(f"{kind}{number}".encode()).save(folder / kind / f"{number}.png")
    (folder / "best.png").write_bytes((folder / "elves" / "3.png").read_bytes())
    prepare(folder, tmp_path / "data", 56, 40)
    data = dataset.load(tmp_path / "data", labels="folders")
    assert data.classes == ("elves", "goblins")
    assert np.bincount(data.labels).tolist() == [12, 12]


def test_one_colour_and_the_noise_of_a_scan_is_no_card(folder, tmp_path, capsys):
    scan = np.random.default_rng(0).normal((240, 238, 230), 1.5, (70, 50, 3)).clip(0, 255)
    Image.fromarray(scan.astype(np.uint8)).save(folder / "back.png")
    faint = Image.new("RGB", (50, 70), "white")
    faint.paste("black", (10, 10, 20, 12))
    faint.save(folder / "white-card-with-a-line.png")
    data = prepare(folder, tmp_path / "data", 56, 40)
    assert len(data.cards) == 41
    assert [(skip["file"], skip["code"]) for skip in manifest(tmp_path / "data")["skipped"]] == [
        ("back.png", "flat")
    ]
    assert "1 show nothing but one colour" in capsys.readouterr().err


def test_a_folder_of_one_colour_is_refused_with_words(tmp_path):
    folder = tmp_path / "cards"
    folder.mkdir()
    for number in range(20):
        Image.new("RGB", (40, 56), (number, 0, 0)).save(folder / f"{number}.jpg")
    with pytest.raises(BadDataset, match=r"(?s)^0 different.*20 show nothing but one colour"):
        prepare(folder, tmp_path / "data")
    assert [path.name for path in tmp_path.iterdir()] == ["cards"]


def test_five_pictures_are_refused_before_one_is_decoded(tmp_path):
    folder = tmp_path / "cards"
    folder.mkdir()
    for number in range(5):
        (folder / f"{number}.png").write_bytes(pictures.file(picture(number))[:100])  # a header alone
    with pytest.raises(BadDataset, match=r"^5 different readable cards.*at least 16.*Add pictures.$"):
        prepare(folder, tmp_path / "data")


@pytest.mark.parametrize(
    ("most", "few", "word"), [((50, 70), (70, 50), "landscape"), ((70, 50), (50, 70), "portrait")]
)
def test_pictures_that_lie_the_other_way_than_most_are_left_out_and_named(tmp_path, capsys, most, few, word):
    folder = tmp_path / "cards"
    folder.mkdir()
    for number in range(32):
        picture(number, few if number % 4 == 0 else most).save(folder / f"{number}.png")
    data = prepare(folder, tmp_path / "data")
    assert len(data.cards) == 24
    height, width = data.size
    assert (height > width) == (word == "landscape")
    skips = manifest(tmp_path / "data")["skipped"]
    assert {skip["file"] for skip in skips} == {f"{number}.png" for number in range(0, 32, 4)}
    assert all(skip["code"] == "odd" and word in skip["reason"] for skip in skips)
    said = capsys.readouterr().err
    assert "8 lie the other way than most" in said
    assert "12.png" in said
    assert "--orientation any" in said
    assert len(prepare(folder, tmp_path / "all", orientation="any").cards) == 32


def test_a_square_picture_lies_no_other_way_than_portrait_ones(folder, tmp_path):
    picture(100, (51, 50)).save(folder / "square.png")
    assert len(prepare(folder, tmp_path / "data", 56, 40).cards) == 41


@pytest.mark.parametrize(("count", "more"), [(10, False), (11, True)])
def test_ten_of_a_kind_are_named_and_the_rest_counted(count, more):
    told = left_out([Skip(f"{number}.png", "flat", "One colour.") for number in range(count)])
    assert told.count(".png") == 10
    assert ("and 1 more" in told, "more" in told) == (more, more)


def test_a_camera_held_sideways_makes_no_landscape_picture(folder, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    for suffix in ("jpg", "png", "webp"):
        picture(len(suffix) + ord(suffix[0]), (70, 50)).save(folder / f"turned.{suffix}", exif=exif)
    assert len(prepare(folder, tmp_path / "data", 56, 40).cards) == 43


@pytest.mark.parametrize(
    ("size", "chosen"),
    [
        ((63, 88), (40, 56)),
        ((50, 70), (40, 56)),
        ((100, 100), (64, 64)),
        ((88, 63), (56, 40)),
        ((59, 86), (32, 48)),
    ],
)
def test_the_pictures_shape_chooses_the_size_of_the_cards(tmp_path, size, chosen):
    folder = tmp_path / "cards"
    folder.mkdir()
    for number in range(16):
        picture(number, size).save(folder / f"{number}.png")
    width, height = chosen
    assert prepare(folder, tmp_path / "data", *parse_size("auto")).size == (height, width)


@pytest.mark.parametrize(
    ("size", "larger"),
    [
        ((79, 112), "."),
        ((80, 112), ". With a GPU or a night to spare: --size 80x112."),
        ((160, 224), ". With a GPU or a night to spare: --size 80x112 or --size 160x224."),
    ],
)
def test_larger_sizes_are_named_where_most_pictures_would_fill_them(tmp_path, capsys, size, larger):
    folder = tmp_path / "cards"
    folder.mkdir()
    for number in range(20):
        picture(number, size if number < 15 else (40, 56)).save(folder / f"{number}.png")
    prepare(folder, tmp_path / "data", *parse_size("auto"))
    assert f"Cards of 40x56 suit these pictures{larger}\n" in capsys.readouterr().err


def test_mixed_shapes_small_pictures_and_few_of_them_are_warned_of(tmp_path, capsys):
    folder = tmp_path / "cards"
    folder.mkdir()
    for number in range(20):
        picture(number, (40 + number, 70)).save(folder / f"{number}.png")
    picture(99, (15, 21)).save(folder / "stamp.png")
    clear = picture(0, (40, 70))
    clear.putalpha(128)
    clear.save(folder / "0.png")
    prepare(folder, tmp_path / "data", 56, 40)
    said = capsys.readouterr().err
    assert "21 cards are few" in said
    assert "shapes differ by 11%" in said
    assert "1 of 21 pictures (4.8%) are smaller than 40x56. stamp.png." in said
    assert "1 of 21 pictures (4.8%) are transparent in places" in said


def test_a_good_folder_is_told_nothing_but_its_size(tmp_path, capsys):
    folder = tmp_path / "cards"
    folder.mkdir()
    for number in range(300):
        picture(number, (10, 14)).save(folder / f"{number}.bmp")
    prepare(folder, tmp_path / "data", 14, 10)
    said = capsys.readouterr().err
    assert not any(word in said for word in ("note", "warning", "critical", "Left out"))


def test_a_size_is_written_as_width_and_height():
    assert parse_size("40x56") == (56, 40)


@pytest.mark.parametrize("size", [(0, 0), (-8, 8), (8, 0), (7, 56), (200_000, 200_000)])
def test_a_size_that_no_card_has_is_refused_before_a_file_is_read(tmp_path, size):
    with pytest.raises(BadDataset, match="8 to 1024 pixels"):
        prepare(tmp_path / "nothing", tmp_path / "data", *size)


@pytest.mark.parametrize("size", [(42, 30), (13, 9), (9, 9), (76, 100), (200, 15)])
def test_a_size_that_no_network_draws_is_refused_before_a_file_is_read(tmp_path, size):
    with pytest.raises(BadConfig):
        configure("nano", *size)
    with pytest.raises(BadDataset, match=r"halved often enough.*Near it are"):
        prepare(tmp_path / "nothing", tmp_path / "data", *size)


@given(st.integers(8, 160), st.integers(8, 160))
def test_a_size_that_is_not_refused_has_networks(height, width):
    try:
        refuse_size(height, width)
    except BadDataset:
        return
    for preset in ("nano", "tiny", "base", "smoke"):
        assert configure(preset, height, width).channels


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
    skip = {"file": "deep/deeper", "code": "closed", "reason": "Permission denied."}
    assert manifest(tmp_path / "data")["skipped"] == [skip]
