import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance

from tests.fakes import folders, pictures
from training import dataset
from training.audit.audit import Audit, NoAudit, audit
from training.audit.copies import near_copies
from training.audit.exhibit import printable
from training.audit.fix import Changes, fix, write_cropped
from training.audit.margins import Margins, margins
from training.audit.page import write_page
from training.audit.pictures import Look, look_at
from training.audit.rules import NAMES
from training.audit.templates import templates
from training.doctor.finding import Severity
from training.prepare import prepare


def found(result: Audit) -> dict[str, set[str]]:
    return {exhibit.finding.id: {shown.file for shown in exhibit.shown} for exhibit in result.exhibits}


def holofoil(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "training", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def look(path) -> Look:
    with Image.open(path) as image:
        size = image.height, image.width
    result = look_at(path.parent, path.name, size, reduced=True)
    assert isinstance(result, tuple)
    return result[1]


@pytest.fixture(scope="module")
def faulty(tmp_path_factory):
    root = tmp_path_factory.mktemp("faulty")
    return root, folders.faulty(root)


@pytest.fixture(scope="module")
def of_faulty(faulty) -> Audit:
    return audit(faulty[0])


def test_every_seeded_fault_is_found_on_every_picture_that_has_it_and_on_no_other(faulty, of_faulty):
    _, seeded = faulty
    told = found(of_faulty)
    assert told.keys() == NAMES.keys()
    for id in NAMES.keys() - {"A1", "A15"}:
        assert told[id] == seeded[id], id


def test_each_picture_with_another_border_is_told_from_those_with_the_usual_one(faulty, of_faulty):
    _, seeded = faulty
    (mixed,) = [exhibit for exhibit in of_faulty.exhibits if exhibit.finding.id == "A15"]
    designs = {shown.file: shown.note for shown in mixed.shown}
    white = {designs[file] for file in seeded["A15"]}
    dark = {designs[file] for file in designs.keys() - seeded["A15"] - seeded["A8"]}
    assert white == {"design 2 of 2"}
    assert dark == {"design 1 of 2"}


def test_every_finding_says_what_why_with_numbers_and_what_to_do(of_faulty):
    for exhibit in of_faulty.exhibits:
        finding = exhibit.finding
        assert any(letter.isdigit() for letter in finding.evidence), finding
        assert finding.why.endswith(".")
        assert finding.remedy
        assert finding.name == NAMES[finding.id]
    severities = [exhibit.finding.severity for exhibit in of_faulty.exhibits]
    assert severities == sorted(severities, reverse=True)
    assert of_faulty.status == 1


def test_a_sound_folder_is_silent(tmp_path):
    result = audit(folders.sound(tmp_path / "cards", 300), size="40x56", preset="nano")
    assert result.exhibits == []
    assert result.status == 0
    assert "Nothing is wrong" in result.text()


def test_a_card_saved_scaled_and_brightened_is_the_same_and_a_neighbour_in_its_template_is_not(tmp_path):
    card = folders.card(1)
    saved = {
        "card.png": card,
        "half.png": folders.scaled(card, 0.5),
        "bright.png": ImageEnhance.Brightness(card).enhance(1.07),
        "other.png": folders.card(2),
    }
    for name, image in saved.items():
        image.save(tmp_path / name)
    card.save(tmp_path / "coarse.jpg", quality=60)
    looks = [look(tmp_path / name) for name in (*saved, "coarse.jpg")]
    assert near_copies(looks) == dict.fromkeys(("half.png", "bright.png", "coarse.jpg"), "card.png")


def test_near_copies_across_many_blocks_are_found(tmp_path):
    folders.card(1).save(tmp_path / "a.png")
    one = look(tmp_path / "a.png")
    rng = np.random.default_rng(0)
    others = [
        Look(
            **{
                **vars(one),
                "name": f"{number}",
                "print": rng.integers(0, 2**63, 4, np.uint64),
                "layout": rng.integers(0, 256, (16, 16, 3), np.uint8),
            }
        )
        for number in range(3000)
    ]
    again = Look(**{**vars(one), "name": "again"})
    assert near_copies([one, *others, again]) == {"again": "a.png"}


@given(st.tuples(*[st.integers(1, 30)] * 4), st.integers(0, 10_000))
def test_margins_are_what_was_laid_around_a_card(around, number):
    top, right, bottom, left = around
    table = np.full((140 + top + bottom, 100 + left + right, 3), 200, np.uint8)
    table[top : top + 140, left : left + 100] = np.asarray(folders.card(number))
    height, width = table.shape[:2]
    expected = (top / height, right / width, bottom / height, left / width)
    np.testing.assert_allclose(margins(table), expected)


def test_a_drawing_on_white_has_no_margin():
    white = np.full((140, 100, 3), 255, np.uint8)
    yy, xx = np.mgrid[:140, :100]
    white[(yy - 70) ** 2 + (xx - 50) ** 2 < 30**2] = (200, 30, 30)
    white[8:20, 6:14] = 0
    assert margins(white) == (0, 0, 0, 0)


@settings(max_examples=20)
@given(st.integers(10, 60), st.integers(10, 60), st.integers(0, 2**31))
def test_two_borders_are_told_apart_and_one_is_not_split(dark, light, seed):
    rng = np.random.default_rng(seed)
    some = rng.normal(40, 6, (dark, 48)).clip(0, 255).astype(np.uint8)
    others = rng.normal(180, 6, (light, 48)).clip(0, 255).astype(np.uint8)
    assert templates(some) is None
    split = templates(np.concatenate([some, others]))
    assert split is not None
    assert sorted(Counter(split.labels.tolist()).values()) == sorted([dark, light])
    assert len(set(split.labels[:dark].tolist())) == 1


@given(st.text(st.characters(codec=None), max_size=30))
def test_any_name_can_be_printed(name):
    assert printable(name).isprintable()
    printable(name).encode()


class TestFix:
    def test_the_new_folder_is_sound_and_the_old_one_is_as_it_was(self, faulty, tmp_path):
        root, seeded = faulty

        def state():
            return {
                path: (path.stat().st_size, path.stat().st_mtime_ns)
                for path in root.rglob("*")
                if path.is_file()
            }

        before = state()
        fix(audit(root), tmp_path / "fixed", crop=True, near=True)
        assert state() == before
        told = found(audit(tmp_path / "fixed"))
        assert not told.keys() & {"A2", "A3", "A4", "A7", "A12", "A13", "A14"}
        gone = set.union(*(seeded[id] for id in ("A2", "A3", "A4", "A7", "A12", "A13")))
        changes = json.loads((tmp_path / "fixed" / "changes.json").read_text())
        assert changes["left_out"].keys() == gone
        assert changes["cropped"].keys() == seeded["A14"]
        assert {path.name for path in (tmp_path / "fixed").iterdir()} == {"cards", "faults", "changes.json"}

    def test_a_cropped_card_is_the_card_that_lay_on_the_table(self, tmp_path):
        root = folders.sound(tmp_path / "cards", 40)
        card = folders.card(99)
        folders.on_a_table(card).save(root / "table.png")
        fix(audit(root), tmp_path / "fixed", crop=True)
        with Image.open(tmp_path / "fixed" / "table.png") as cropped:
            cropped.load()
        assert abs(cropped.width - 100) <= 2
        assert abs(cropped.height - 140) <= 2
        apart = np.asarray(cropped.resize((25, 35)), np.int16) - np.asarray(card.resize((25, 35)), np.int16)
        assert np.abs(apart).mean() < 12

    def test_without_crop_and_near_only_what_is_no_card_is_left_out(self, faulty, tmp_path):
        _, seeded = faulty
        fix(audit(faulty[0]), tmp_path / "fixed")
        changes = json.loads((tmp_path / "fixed" / "changes.json").read_text())
        assert not changes["left_out"].keys() & (seeded["A4"] | seeded["A14"])
        assert changes["cropped"] == {}

    def test_the_next_command_can_be_pasted(self, tmp_path):
        told = str(Changes(tmp_path / "my cards", 20, {}, {}))
        assert told.endswith(f"holofoil prepare '{tmp_path}/my cards' DATA")

    def test_labels_of_folders_still_work(self, tmp_path):
        for kind, first in (("elves", 0), ("goblins", 50)):
            folders.sound(
                tmp_path / "cards" / kind, 20, lambda number, first=first: folders.card(first + number)
            )
        folders.card(3).save(tmp_path / "cards" / "loose.png")
        fix(audit(tmp_path / "cards"), tmp_path / "fixed")
        prepare(tmp_path / "fixed", tmp_path / "data")
        assert dataset.load(tmp_path / "data", "folders").classes == ("elves", "goblins")

    def test_a_link_becomes_the_picture_it_leads_to(self, tmp_path):
        root = folders.sound(tmp_path / "cards", 20)
        folders.card(77).save(tmp_path / "elsewhere.png")
        (root / "linked.png").symlink_to("../elsewhere.png")
        fix(audit(root), tmp_path / "deep" / "er" / "fixed")
        linked = tmp_path / "deep" / "er" / "fixed" / "linked.png"
        assert linked.read_bytes() == (tmp_path / "elsewhere.png").read_bytes()

    def test_a_folder_that_is_there_or_in_the_way_is_refused(self, tmp_path):
        root = folders.sound(tmp_path / "cards", 3)
        result = audit(root)
        with pytest.raises(NoAudit, match="there already"):
            fix(result, tmp_path)
        with pytest.raises(NoAudit, match="outside"):
            fix(result, root / "fixed")
        assert len(list(root.iterdir())) == 3


class TestBadInput:
    @pytest.mark.parametrize("arguments", [["--size", "big"], ["--size", "30x42"], ["--preset", "x"]])
    def test_a_size_or_preset_that_is_none_is_refused(self, tmp_path, arguments):
        folders.sound(tmp_path / "cards", 2)
        answer = holofoil("audit", tmp_path / "cards", *arguments)
        assert (answer.returncode, answer.stdout) == (2, "")
        assert answer.stderr.startswith("holofoil: ")

    @pytest.mark.parametrize("option", ["--crop", "--near"])
    def test_what_changes_a_fix_is_refused_without_one(self, tmp_path, option):
        answer = holofoil("audit", tmp_path, option)
        assert (answer.returncode, answer.stdout) == (2, "")
        assert "as in --fix FIXED" in answer.stderr

    def test_a_place_that_cannot_be_written_is_no_verdict(self, tmp_path):
        result = audit(folders.sound(tmp_path / "cards", 2))
        (tmp_path / "file").touch()
        with pytest.raises(NoAudit, match="Not a directory"):
            write_page(result, tmp_path / "file" / "page.html")
        with pytest.raises(NoAudit, match="Not a directory"):
            fix(result, tmp_path / "file" / "fixed")

    def test_a_cropped_card_without_room_is_not_called_damaged(self, tmp_path):
        folders.on_a_table(folders.card(99)).save(tmp_path / "table.png")
        with pytest.raises(OSError, match="No space left"):
            write_cropped(tmp_path / "table.png", Path("/dev/full"), Margins())
        result = audit(folders.sound(tmp_path / "cards", 2))
        with pytest.raises(NoAudit, match=r"^/dev/full: No space left on device\. Make room"):
            write_page(result, Path("/dev/full"))

    def test_what_cannot_be_judged_is_2_with_words(self, tmp_path):
        (tmp_path / "notes.txt").write_text("no picture")
        for place in (tmp_path, tmp_path / "notes.txt", tmp_path / "nothing"):
            with pytest.raises(NoAudit) as refused:
                audit(place)
            assert refused.value.status == 2

    @pytest.mark.parametrize(
        "data", [b"", b"junk", pictures.bomb(60_000, 60_000), pictures.file(Image.new("RGB", (40, 56)))]
    )
    def test_a_folder_with_nothing_to_train_on_is_judged_and_shown(self, tmp_path, data):
        root = tmp_path / "cards"
        root.mkdir()
        (root / "card.png").write_bytes(data)
        result = audit(root)
        assert result.status == 1
        assert found(result).keys() & {"A2", "A13"}
        assert result.exhibits[0].finding.severity == Severity.CRITICAL
        write_page(result, tmp_path / "page.html")
        fix(result, tmp_path / "fixed", crop=True, near=True)
        assert json.loads(result.to_json())["usable"] == 0
        assert result.text()

    def test_odd_names_links_in_circles_and_pipes(self, tmp_path):
        root = folders.sound(tmp_path / "cards", 3)
        names = folders.odd_names(root)
        answer = holofoil(
            "audit", root, "--json", "--page", tmp_path / "page.html", "--fix", tmp_path / "fixed", "--crop"
        )
        assert answer.returncode == 1
        assert json.loads(answer.stdout)["usable"] == 3 + len(names)
        assert {os.fsencode(name) for name in names} <= set(os.listdir(os.fsencode(tmp_path / "fixed")))
        page = (tmp_path / "page.html").read_text(encoding="utf-8")
        assert "<script" not in page
        assert "alert(1)" in page
        words = holofoil("audit", root)
        assert "Traceback" not in words.stderr
        assert "\x1b" not in words.stdout


def test_the_json_says_what_the_text_says(faulty, of_faulty):
    answer = holofoil("audit", faulty[0], "--json")
    assert answer.returncode == 1
    whole = json.loads(answer.stdout)
    assert {finding["id"]: finding["severity"] for finding in whole["findings"]} == {
        exhibit.finding.id: exhibit.finding.severity.word for exhibit in of_faulty.exhibits
    }
    for finding in whole["findings"]:
        assert {shown["file"] for shown in finding["files"]} == found(of_faulty)[finding["id"]]
        assert f"{finding['id']} {finding['name']}" in of_faulty.text()


@pytest.mark.parametrize(("preset", "enough"), [("nano", 300), ("tiny", 300), ("base", 1000)])
def test_a_preset_that_trains_longer_wants_more_cards(tmp_path, preset, enough):
    result = audit(folders.sound(tmp_path / "cards", 40), preset=preset)
    assert f"{enough:,} or more" in result.exhibits[0].finding.evidence
    assert result.exhibits[0].finding.severity == Severity.WARNING


def test_prepare_tells_the_same_findings_in_a_line_each(faulty, of_faulty, tmp_path, capsys):
    prepare(faulty[0], tmp_path / "data")
    said = capsys.readouterr().err
    told = {line.split()[1] for line in said.splitlines() if line.startswith(("note A", "warning A"))}
    left_out = {"A2", "A3", "A7", "A12", "A13"}  # these are said in prepare's own words
    assert told == found(of_faulty).keys() - left_out
