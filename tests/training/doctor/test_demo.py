"""The demo: each recipe keeps the repairs before it, and what was trained once is not trained again."""

import json
import math
import shutil
from dataclasses import asdict, replace
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from training import dataset
from training.doctor.demo import BadDemo, demo
from training.doctor.repairs import recipes
from training.doctor.trial import CARDS, CURVES, TRIAL, Trial, asked_for, left_unscaled, recorded
from training.models import to_unit

NAMES = ["posted", "range", "logits", "separate passes", "R1", "augmentation", "EMA", "networks"]
SECOND = 1 / 60  # minutes


def test_each_recipe_changes_something_and_keeps_the_repairs_before_it():
    made = list(recipes())
    assert [recipe.name for recipe in made] == NAMES
    start, end = asdict(made[0].config), asdict(made[-1].config)
    for before, after in pairwise(made):
        assert (before.config, before.scaled) != (after.config, after.scaled)
        for name, value in asdict(after.config).items():
            assert value in (asdict(before.config)[name], end[name])
            assert asdict(before.config)[name] in (start[name], value)


def test_cards_left_unscaled_reach_the_networks_between_0_and_1():
    pixels = np.arange(256, dtype=np.uint8)
    seen = to_unit(left_unscaled(pixels)).numpy()
    np.testing.assert_allclose(seen, pixels / 255, atol=0.005)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A demo of two recipes on a few cards: where it lies, and the table it gave."""
    out = tmp_path_factory.mktemp("demo")
    return out, demo(out, SECOND, count=20, chosen=few())


def few():
    first, *_, last = recipes(batch=4)
    return first, last


def test_it_ends_with_a_table_and_a_picture(made):
    out, told = made
    lines = told.splitlines()
    assert [line.split()[0] for line in lines[1:3]] == ["posted", "networks"]
    assert len({len(line) for line in lines[:3]}) == 1  # aligned
    with Image.open(out / "demo.png") as picture:
        assert picture.width > 1000
        assert len(picture.convert("RGB").getcolors(2**24) or ()) > 50
    assert str(out / "demo.png") in told


def test_a_trial_is_made_once(made):
    out, told = made
    files = [out / name / TRIAL for name in ("posted", "networks")]
    before = [file.stat().st_mtime_ns for file in files]
    assert demo(out, SECOND, count=20, chosen=few()) == told
    assert [file.stat().st_mtime_ns for file in files] == before


def test_a_trial_that_is_damaged_is_made_again(made, tmp_path):
    out = shutil.copytree(made[0], tmp_path / "demo")
    (out / "posted" / TRIAL).write_text('{"asked"')
    demo(out, SECOND, count=20, chosen=few()[:1])
    assert json.loads((out / "posted" / TRIAL).read_text())["kid"] > 0


@pytest.mark.parametrize("harm", ["none", "cut short", "without cards", "of another recipe", "of less time"])
def test_a_trial_that_is_damaged_or_another_is_not_the_one_asked_for(made, tmp_path, harm):
    folder = shutil.copytree(made[0] / "posted", tmp_path / "posted")
    (recipe, _), seconds = few(), 60 * SECOND
    if harm == "cut short":
        (folder / TRIAL).write_text('{"asked"')
    elif harm == "without cards":
        (folder / CARDS).unlink()
    elif harm == "of another recipe":
        recipe = recipe._replace(config=replace(recipe.config, learning_rate=1e-3))
    elif harm == "of less time":
        seconds *= 2
    asked = asked_for(recipe, dataset.load(made[0] / "data"), seconds)
    assert (recorded(recipe, asked, folder) is not None) == (harm == "none")


def test_the_end_is_the_last_tenth_of_the_steps():
    curves = {name: [0.0] * 27 + [1.0, 2.0, 3.0] for name in CURVES}
    trial = Trial("R1", "", 32, 1.0, curves, np.zeros((128, 512, 3), np.uint8))
    assert trial.at_the_end("d_loss") == 2.0
    assert trial.images == 960


@pytest.mark.parametrize("minutes", [0.0, -1.0, math.nan, math.inf])
def test_no_time_and_no_end_is_refused(tmp_path, minutes):
    with pytest.raises(BadDemo, match="minutes"):
        demo(tmp_path, minutes)
    assert list(tmp_path.iterdir()) == []
