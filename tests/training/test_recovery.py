"""Nothing is lost: runs that are killed, that break their numbers, that find no room or a changed folder."""

import json
import math
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.fakes import disk
from tests.training.ends import equal, state
from tests.training.small_disk import no_more_files, small_files
from training import dataset, train
from training.checkpoints import BadCheckpoint, Checkpoints, Progress
from training.loop import Diverged, Loop
from training.models import Networks
from training.prepare import prepare
from training.presets import configure
from training.run import BadRun, Run, Setback, Source, replace_text
from training.trouble import Trouble


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Cards of two colours each, prepared; of 140, ten are held out, enough to steer by."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("cards")
    for number in range(140):
        colours = np.random.default_rng(number).integers(0, 256, (2, 1, 3), np.uint8)
        Image.fromarray(np.repeat(np.repeat(colours, 28, 0), 40, 1)).save(folder / f"{number}.png")
    prepare(folder, folder / "data", 56, 40)
    return folder / "data"


# All that a run carries from step to step: a falling rate, a penalty now and then, a probability that moves.
CARRIED: dict[str, Any] = {
    "batch": 16,
    "augment": "adaptive",
    "r1_every": 3,
    "final_learning_rate": 1e-5,
    "images": 1_600,
    "checkpoint_every": 200,
    "steer_every": 500,
}


@pytest.fixture(scope="module")
def unbroken(data, tmp_path_factory):
    """A run with CARRIED that nothing stops."""
    return train.start(data, tmp_path_factory.mktemp("unbroken") / "run", "smoke", **CARRIED)


def launch(data, folder):
    """Train with CARRIED, or go on with it, in a process of its own."""
    program = f"""
from pathlib import Path
from training import train

data, folder = Path({str(data)!r}), Path({str(folder)!r})
if (folder / "config.json").exists():
    train.resume(data, folder)
else:
    train.start(data, folder, "smoke", **{CARRIED!r})
"""
    return subprocess.Popen(
        [sys.executable, "-c", program], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )


def lines(run):
    """The whole lines of the log; the last may be half written at this moment."""
    text = run.metrics.read_text() if run.metrics.exists() else ""
    return [json.loads(line) for line in text.rpartition("\n")[0].splitlines()]


def images(run):
    return lines(run)[-1]["images"] if lines(run) else 0


def test_a_run_that_is_killed_again_and_again_ends_as_the_unbroken_one(data, unbroken, tmp_path, capsys):
    run, moments = Run(tmp_path / "broken"), random.Random()
    for wanted in (300, 900):
        process = launch(data, run.folder)
        while process.poll() is None and images(run) < wanted:
            time.sleep(0.002)
        time.sleep(moments.uniform(0, 0.3))  # in the middle of whatever it is doing
        process.kill()
        assert process.wait() == -signal.SIGKILL
        kept = run.restore(Networks.build(run.config))
        assert "damaged" not in capsys.readouterr().out
        assert images(run) - kept <= 200 + 10 * 16  # what lies between two checkpoints, and a line of the log
    assert launch(data, run.folder).wait(timeout=300) == 0
    assert equal(unbroken, run)
    assert [line["step"] for line in lines(run)] == [line["step"] for line in lines(unbroken)]
    steered = [(line["r_v"], line["augment"]) for line in lines(unbroken) if "r_v" in line]
    assert steered == [(line["r_v"], line["augment"]) for line in lines(run) if "r_v" in line]
    assert len(steered) == 3


def test_the_probability_of_augmentation_goes_on_from_where_it_was(data, tmp_path):
    options: dict[str, Any] = {"images": 32, "batch": 32, "augment": "adaptive", "steer_every": 64}
    run = train.start(data, tmp_path / "run", "smoke", **options)
    file = run.checkpoints.folder / "1" / "progress.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"probability": 0.5}))
    train.resume(data, run.folder, images=64)
    (line,) = (line for line in lines(run) if "r_v" in line)
    assert line["r_v"] != 0.5
    assert line["augment"] == pytest.approx(0.5 + math.copysign(64 / 500_000, line["r_v"] - 0.5), abs=1e-9)


def test_blocks_of_steps_change_nothing(data, unbroken, tmp_path):
    blocks = train.start(data, tmp_path / "blocks", "smoke", steps_per_call=7, **CARRIED)
    assert equal(unbroken, blocks)


def test_numbers_that_break_are_met_with_half_the_learning_rate_three_times_and_then_with_words(
    data, tmp_path, capsys
):
    """Steps this long are taken once before losses overflow."""
    run = train.start(data, tmp_path / "run", "smoke", images=8, learning_rate=1e5)
    good = state(run)
    with pytest.raises(train.GaveUp, match="lower learning rate"):
        train.resume(data, run.folder, images=800)
    told = capsys.readouterr().out
    assert told.count("Going back to the last checkpoint") == 3
    assert len(run.setbacks) == 3
    assert run.checkpoints.steps() == [1]
    assert all(np.array_equal(value, good[name]) for name, value in state(run).items())


def test_a_run_that_went_back_once_keeps_to_the_lower_learning_rate(data, tmp_path):
    options: dict[str, Any] = {"images": 80, "checkpoint_every": 40}
    run = train.start(data, tmp_path / "run", "smoke", **options)
    slower = train.start(
        data, tmp_path / "slower", "smoke", learning_rate=run.config.learning_rate / 2, **options
    )
    again = Run.create(tmp_path / "again", run.config, Source.of(data, dataset.load(data)))
    again.save_setbacks([Setback(24, "d_loss")])
    train.resume(data, again.folder)
    assert equal(slower, again)
    assert not equal(run, again)


def test_what_is_no_number_is_told_and_not_saved(data, tmp_path):
    """A step's losses are from before it moves the weights: either may break first."""
    cards, config = dataset.load(data), configure("smoke", 56, 40)
    loop = Loop(config, Run.create(tmp_path / "run", config, Source.of(data, cards)), cards)
    loop.networks.generator.weights[0].assign(loop.networks.generator.weights[0] * math.nan)
    with pytest.raises(Diverged, match="the weights of the generator"):
        loop.attend({"checkpoint"}, {})
    with pytest.raises(Diverged, match="d_loss stopped being a number"):
        loop.attend({"checkpoint"}, {"d_loss": math.nan})
    assert loop.run.checkpoints.steps() == []
    assert "no numbers" in loop.run.findings.read_text()


def test_a_checkpoint_starts_the_time_to_the_next_anew(data, tmp_path):
    cards, config = dataset.load(data), configure("smoke", 56, 40)
    loop = Loop(config, Run.create(tmp_path / "run", config, Source.of(data, cards)), cards)
    loop.saved -= 60 * config.checkpoint_minutes
    assert loop.unsaved_too_long()
    loop.attend({"checkpoint"}, {})
    assert not loop.unsaved_too_long()


def test_a_changed_configuration_is_refused_by_the_name_of_what_changed(data, tmp_path):
    run = train.start(data, tmp_path / "run", "smoke", images=8, r1=1.0)
    written = run.config
    for name, value in {"r1": 3.0, "seed": 7, "batch": 4}.items():
        run.save_config(replace(written, **{name: value}))
        with pytest.raises(BadRun, match=f"says {name} is {value}"):
            train.resume(data, run.folder, images=16)
    run.save_config(written)
    train.resume(data, run.folder, images=16)


TWO_STEPS: dict[str, Any] = {  # in a block of ten
    "images": 16,
    "sample_every": 24,
    "checkpoint_every": 4_000,
    "steps_per_call": 10,
}


@pytest.fixture(scope="module")
def two_steps(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("two") / "run"
    return train.start(data, folder, "smoke", **TWO_STEPS).folder


@pytest.mark.parametrize("full", ["metrics", "sample"])
def test_a_disk_that_takes_no_log_or_sample_ends_the_run_with_words(data, two_steps, tmp_path, full):
    run = Run.open(shutil.copytree(two_steps, tmp_path / "run"))
    if full == "metrics":
        with run.metrics.open("a") as file:
            file.write(json.dumps({"step": 2, "padding": "x" * 30_000}) + "\n")
    told = "could not be written: File too large. Make room on that disk"
    with small_files(4_000), pytest.raises(Trouble, match=told):
        train.resume(data, run.folder, images=80)
    assert [path.name for path in run.samples.iterdir()] == ["000000016.png"]
    run.metrics.unlink()
    train.resume(data, run.folder, images=24)


def test_no_more_time_is_lost_than_a_run_may_lose(data, tmp_path):
    options: dict[str, Any] = {"images": 50 * 8, "batch": 8, "checkpoint_every": 10_000}
    rarely = train.start(data, tmp_path / "rarely", "smoke", **options)
    often = train.start(data, tmp_path / "often", "smoke", checkpoint_minutes=0.0, **options)
    assert rarely.checkpoints.steps() == [50]
    assert often.checkpoints.steps() == [50, 40, 30]  # at each line of the log; three are kept
    assert equal(rarely, often)


def test_the_best_checkpoint_is_kept_and_found(data, tmp_path):
    """The judge here measures brightness: what is best is known, and is not what is newest."""
    kids = [3.0, 2.0, 1.0, 2.0, 2.0, 1.0, 4.0, 4.0, 4.0, 4.0]
    options: dict[str, Any] = {"images": 80, "evaluate_every": 8, "checkpoint_every": 16}

    def judge_of(cards):
        values = iter(kids)

        def judge(fakes):
            assert (fakes.shape, fakes.dtype) == ((500, 56, 40, 3), np.uint8)
            return {"kid": next(values), "coverage": 0.5}

        return judge

    run = train.start(data, tmp_path / "run", "smoke", judge_of=judge_of, **options)
    assert run.checkpoints.steps() == [10, 8, 6, 3]  # the third, at which no other was due
    assert [line["kid"] for line in lines(run)] == kids
    networks = Networks.build(run.config)
    assert (run.restore(networks, "best"), run.restore(networks)) == (24, 80)
    (run.checkpoints.folder / "3" / "weights.index").unlink()
    assert run.restore(networks, "best") == 80


def test_the_best_covers_enough_of_the_real_cards():
    """KID and coverage of evaluations in turn, and which of them is then the best."""
    progress = Progress.at_start(configure("smoke", 56, 40))
    evaluations = [
        (400, 0.00, 1),
        (300, 0.01, 2),
        (200, 0.00, 3),  # what chance takes off
        (100, 0.50, 4),
        (50, 0.10, 4),  # collapsed
        (120, 0.55, 4),
        (60, 0.40, 4),  # too little beside the highest, though that was no best
        (99, 0.45, 8),
        (130, 0.90, 9),  # the others cover too little beside it
        (98, 0.45, 9),
    ]
    for step, (kid, coverage, best) in enumerate(evaluations, start=1):
        progress = replace(progress, step=step).judged(kid, coverage)
        assert progress.best_step == best


def test_progress_survives_its_file():
    progress = Progress(3, 0.1 + 0.2, configure("smoke", 56, 40), 2, 0.25)
    assert Progress.from_json(progress.to_json()) == progress


def test_a_run_starts_with_the_probability_that_it_was_given():
    for augment, start in (("adaptive", 0.25), (0.5, 0.5), (0.0, 0.0)):
        config = configure("smoke", 56, 40, augment=augment, augment_from=0.25)
        assert Progress.at_start(config).probability == start


def test_evaluations_and_samples_show_the_same_noise_at_any_step_and_samples_every_kind(data, tmp_path):
    cards = dataset.load(data)
    kinds = (np.arange(len(cards.cards)) % 2).astype(np.int32)
    cards = replace(cards, labels=kinds, classes=("elves", "goblins"))
    config = configure("smoke", 56, 40, classes=cards.classes)
    seen = []

    def judge(fakes):
        seen.append(fakes)
        return {"kid": 1.0, "coverage": 0.5}

    loop = Loop(config, Run.create(tmp_path / "run", config, Source.of(data, cards)), cards, judge)
    for weight in loop.networks.average.trainable_weights:  # as they are drawn all cards are grey
        weight.assign(4 * weight)
    for step in (1, 7):
        loop.progress = replace(loop.progress, step=step)
        loop.attend({"evaluate", "sample"}, {})
    assert np.array_equal(*seen)
    one, other = (path.read_bytes() for path in loop.run.samples.iterdir())
    assert one == other
    drawn = loop.draw(tf.ones((4, config.noise_size)))
    assert np.array_equal(drawn[:2], drawn[2:])
    assert not np.array_equal(drawn[0], drawn[1])


def small() -> dict[str, Any]:
    """State enough for a checkpoint."""
    return {"average": keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])}


def test_a_file_of_a_run_is_on_the_disk_before_it_has_its_name(tmp_path):
    with disk.watched() as asked:
        replace_text(tmp_path / "config.json", "{}")
    named = asked.index(("named", tmp_path / "config.json"))
    assert "opened" in [what for what, path in asked[:named] if path.parent == tmp_path]
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


def test_a_checkpoint_is_on_the_disk_before_it_has_its_name_and_then_the_name_is(tmp_path):
    with disk.watched() as asked:
        Checkpoints(tmp_path).save(Progress.at_start(configure("smoke", 56, 40)), **small())
    named = asked.index(("named", tmp_path / "0"))
    before = [path for what, path in asked[:named] if what == "opened"]
    (staging,) = {path for path in before if path.parent == tmp_path}
    files = {staging / path.name for path in (tmp_path / "0").iterdir()}
    assert len(files) == 3
    assert files <= set(before)
    assert ("opened", tmp_path) in asked[named:]


def test_a_checkpoint_is_dropped_from_sight_before_its_files_are(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(Progress.at_start(configure("smoke", 56, 40)), **small())
    with disk.watched() as asked:
        checkpoints.drop([0])
    assert ("named", tmp_path / ".0.gone") in asked
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_takes_no_checkpoint_is_told_with_what_to_do(tmp_path):
    (tmp_path / "checkpoints").touch()
    told = "could not be written to .*: Not a directory.*go on with --resume"
    with pytest.raises(BadCheckpoint, match=told):
        Checkpoints(tmp_path / "checkpoints").save(Progress.at_start(configure("smoke", 56, 40)), **small())


def test_checkpoints_that_cannot_be_read_now_are_neither_passed_over_nor_taken_for_none(tmp_path):
    checkpoints, state = Checkpoints(tmp_path), small()
    for step in (1, 2):
        checkpoints.save(replace(Progress.at_start(configure("smoke", 56, 40)), step=step), **state)
    with no_more_files(), pytest.raises(OSError, match="Too many open files"):
        checkpoints.load(**state)
    (tmp_path / "2" / "progress.json").unlink()
    (tmp_path / "2" / "progress.json").symlink_to("/proc/self/mem")  # which gives root too an error
    with pytest.raises(BadCheckpoint, match="2 cannot be read now"):
        checkpoints.load(**state)


def test_what_a_killed_process_left_of_a_checkpoint_is_not_in_the_way(tmp_path):
    for left in (".7.part", ".7.gone", ".3.gone", "5"):
        (tmp_path / left).mkdir()
        (tmp_path / left / "weights.index").write_text("half")
    checkpoints, state = Checkpoints(tmp_path), small()
    for step in (7, 5):  # the step before is damaged, and from there it goes on
        checkpoints.save(replace(Progress.at_start(configure("smoke", 56, 40)), step=step), **state)
    assert [path.name for path in tmp_path.iterdir()] == ["5"]
    loaded = checkpoints.load(**state)
    assert loaded
    assert loaded.step == 5


def test_a_checkpoint_that_lacks_a_part_is_not_filled_up_with_chance(tmp_path):
    checkpoints, state = Checkpoints(tmp_path), small()
    checkpoints.save(Progress.at_start(configure("smoke", 56, 40)), **state)
    with pytest.raises(BadCheckpoint, match="No checkpoint"):
        checkpoints.load(**state, discriminator=small()["average"])


def test_a_checkpoint_is_not_dropped_for_damaged_ones_of_later_steps(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    progress = Progress.at_start(configure("smoke", 56, 40))
    state = small()
    for step in (100, 317, 318, 319):
        checkpoints.save(replace(progress, step=step, best_step=100), **state)
    for step in (317, 318, 319):
        (tmp_path / str(step) / "progress.json").write_text("")
    loaded = checkpoints.load(**state)
    assert loaded
    assert loaded.step == 100
    checkpoints.save(replace(loaded, step=200), **state)
    assert checkpoints.steps() == [200, 100]
