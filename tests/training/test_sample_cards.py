import io
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from serving.cards import FOLDER_FORMATS
from tests.fakes.pictures import decode
from training.sample_cards.cards import SUBJECTS, BadSample, draw_card, sample_cards
from training.sample_cards.frames import ELEMENTS, LAYOUTS, RARITIES
from training.sample_cards.grounds import FEATURES, GROUNDS, VISIONS
from training.sample_cards.scenes import ART, load, pictures

KINDS = ("creatures", "plants", "relics", "places", "forces")
COUNT = 200


@pytest.fixture
def folder(many_cards):
    return many_cards


def jpeg(image):
    file = io.BytesIO()
    image.save(file, "JPEG", quality=92, subsampling=0)
    return file.getvalue()


def test_count_cards_are_written_and_nothing_else(folder):
    assert sorted(path.name for path in folder.iterdir()) == [f"card-{i:06}.jpg" for i in range(COUNT)]


def test_folders_that_are_not_there_are_made(tmp_path):
    sample_cards(tmp_path / "new" / "cards", 1)
    assert (tmp_path / "new" / "cards" / "card-000000.jpg").exists()


def test_no_two_cards_are_alike(folder):
    assert len({path.read_bytes() for path in folder.iterdir()}) == COUNT


def test_a_processor_without_newer_instructions_draws_the_same_cards(tmp_path):
    found = np.show_config(mode="dicts")["SIMD Extensions"].get("found", [])
    plainer = os.environ | {"NPY_DISABLE_CPU_FEATURES": " ".join(found)}
    sample_cards(tmp_path / "here", 8, seed=1)
    command = [sys.executable, "-m", "training", "sample-cards", str(tmp_path / "there")]
    subprocess.run([*command, "--count", "8", "--seed", "1"], env=plainer, check=True, timeout=120)
    here, there = (
        [path.read_bytes() for path in sorted((tmp_path / place).iterdir())] for place in ("here", "there")
    )
    assert here == there


def test_every_card_is_5_to_7_and_passes_the_one_door(folder):
    for path in folder.iterdir():
        picture = decode(path.read_bytes(), FOLDER_FORMATS)
        assert picture.card.shape == (448, 320, 3)
        assert picture.applied == ()


def test_a_card_drawn_in_a_worker_is_the_card_drawn_here(folder):
    for index in (0, 17, COUNT - 1):
        assert jpeg(draw_card(5, index)) == (folder / f"card-{index:06}.jpg").read_bytes()


def test_a_card_depends_on_its_seed_and_index_alone():
    first = draw_card(3, 5)
    others = [draw_card(3, 6), draw_card(4, 5), draw_card(5, 3)]
    assert draw_card(3, 5).tobytes() == first.tobytes()
    assert all(other.tobytes() != first.tobytes() for other in others)


def test_the_structure_of_a_card_survives_at_the_smallest_training_size(folder):
    """Borders are dark and title bars light on every card, also at 40x56."""
    for path in folder.iterdir():
        with Image.open(path) as image:
            card = np.asarray(image.convert("L").resize((40, 56), Image.Resampling.LANCZOS), np.float32)
        border = np.concatenate([card[0], card[-1], card[1:-1, 0], card[1:-1, -1]])
        assert np.median(border) < 60
        assert card[2:7, 4:30].mean() > border.mean() + 90


def test_cards_of_the_same_names_are_written_anew_and_other_files_are_left_alone(tmp_path):
    (tmp_path / "card-000000.jpg").write_text("not a card")
    (tmp_path / "mine.png").write_text("mine")
    sample_cards(tmp_path, 1, seed=9)
    assert (tmp_path / "card-000000.jpg").read_bytes() == jpeg(draw_card(9, 0))
    assert (tmp_path / "mine.png").read_text() == "mine"


@pytest.mark.parametrize(
    ("count", "seed", "told"), [(0, 0, "count is 0"), (-3, 0, "count is -3"), (1, -1, "seed")]
)
def test_numbers_that_make_no_sense_are_refused_before_anything_is_made(tmp_path, count, seed, told):
    with pytest.raises(BadSample, match=told):
        sample_cards(tmp_path / "out", count, seed)
    assert not (tmp_path / "out").exists()


def test_a_file_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(BadSample, match="is a file"):
        sample_cards(tmp_path / "out", 1)


def test_every_picture_is_listed_and_every_listed_picture_loads():
    listed = [picture for kind in KINDS for picture in pictures(kind)]
    assert {picture.file for picture in listed} == {
        path.relative_to(ART).as_posix() for path in ART.rglob("*.webp")
    }
    for picture in listed:
        image = load(picture.file)
        assert image.mode == "RGBA"
        assert max(image.size) <= 176
        assert picture.pose in ("stands", "floats", "bust")
        assert picture.elements <= {element.name for element in ELEMENTS}


def test_every_element_has_grounds_whose_features_exist():
    assert set(GROUNDS) == {element.name for element in ELEMENTS}
    used = {name for grounds in GROUNDS.values() for ground in grounds for name in ground.features}
    assert used | {name for vision in VISIONS for name in vision} == set(FEATURES)


def test_every_layout_has_subjects_and_the_shares_add_up():
    assert {kind for layout in LAYOUTS for kind in SUBJECTS[layout.name]} == set(KINDS)
    assert sum(layout.share for layout in LAYOUTS) == pytest.approx(1)
    assert sum(rarity.share for rarity in RARITIES) == pytest.approx(1)
