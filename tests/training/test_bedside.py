"""The doctor at real runs: what it hears and writes down, and that what it does changes the run as told."""

import json
import shutil
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from training import train
from training.checkpoints import Progress
from training.doctor.doctor import Doctor
from training.doctor.runs import facts_of_run
from training.models import Networks
from training.prepare import prepare
from training.presets import configure
from training.run import Run
from training.step import Step
from training.vitals import Movement


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Seventy cards of two colours each, prepared."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("cards")
    for number in range(70):
        colours = np.random.default_rng(number).integers(0, 256, (2, 1, 3), np.uint8)
        Image.fromarray(np.repeat(np.repeat(colours, 28, 0), 40, 1)).save(folder / f"{number}.png")
    prepare(folder, folder / "data", 56, 40)
    return folder / "data"


def judge_of_kids(*kids: float) -> Any:
    """Judge every card alike: what is found is known beforehand."""
    values = iter(kids)
    return lambda cards: lambda fakes: {"kid": next(values), "coverage": 1.0}


def findings(run: Run) -> list[dict[str, Any]]:
    return [json.loads(line) for line in run.findings.read_text().splitlines()]


def lines(run: Run) -> list[dict[str, float]]:
    return [json.loads(line) for line in run.metrics.read_text().splitlines()]


def heard(run: Run) -> list[str]:
    doctor = Doctor(facts_of_run(run.folder))
    return [f"{found.id} {found.where}" for line in lines(run) for found in doctor.hear(line)]


def test_a_run_that_is_no_longer_worth_its_time_is_stopped_and_goes_on_where_that_is_not_wanted(
    data, tmp_path, capsys
):
    options: dict[str, Any] = {"images": 120, "evaluate_every": 8, "checkpoint_every": 400}
    run = train.start(data, tmp_path / "run", "smoke", judge_of=judge_of_kids(1, *[2] * 20), **options)
    told = [(f["id"], f["name"], f["step"], f["done"]) for f in findings(run)]
    assert told == [
        ("D13", "few cards", 1, ""),
        ("D10", "plateau", 6, ""),
        ("D10", "exhausted", 11, "stopped; the best checkpoint is kept (not wanted? --without stop)"),
    ]
    assert "warning D10 exhausted (image 88)" in capsys.readouterr().out
    assert run.checkpoints.steps() == [11, 1]
    assert heard(run) == [
        "D13 image 8",
        "D10 image 48",
        "D10 image 88",
    ]
    train.resume(data, run.folder, judge_of=judge_of_kids(*[2] * 20), without=("stop",))
    assert lines(run)[-1]["step"] == 15
    assert [f["step"] for f in findings(run)] == [1, 6, 11]


def test_a_run_that_has_diverged_goes_back_to_its_best_and_says_why(data, tmp_path):
    kids = judge_of_kids(30, 10, 90, 95, 9, 8, 7, 6, 5, 4)
    options: dict[str, Any] = {"images": 64, "evaluate_every": 8, "checkpoint_every": 8}
    run = train.start(data, tmp_path / "run", "smoke", judge_of=kids, **options)
    assert [(setback.images, setback.broken) for setback in run.setbacks] == [(32, "diverged")]
    (diverged,) = (f for f in findings(run) if f["name"] == "diverged")
    assert (diverged["step"], diverged["setbacks"]) == (4, 0)
    assert diverged["done"].startswith("gone back to the best checkpoint, of step 2, with half the rate")
    assert [line["kid"] for line in lines(run)] == [30, 10, 9, 8, 7, 6, 5, 4]
    assert [line["step"] for line in lines(run)] == list(range(1, 9))


def test_numbers_that_break_are_written_down_and_end_the_run_where_going_back_is_not_wanted(data, tmp_path):
    with pytest.raises(train.GaveUp, match="after 0 returns"):
        train.start(
            data,
            tmp_path / "run",
            "smoke",
            images=160,
            learning_rate=1e5,
            without=("roll-back",),
            doctor="watch",
        )
    assert "D4" in [finding["id"] for finding in findings(Run(tmp_path / "run"))]


def test_a_resumed_run_goes_on_with_the_penalty_as_it_was_raised(data, tmp_path):
    run = train.start(data, tmp_path / "run", "smoke", images=16, checkpoint_every=8)
    checkpoints = shutil.copytree(run.folder, tmp_path / "raised") / "checkpoints"
    shutil.rmtree(checkpoints / "2")  # as if it had been killed before
    file = checkpoints / "1" / "progress.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"strength": 4.0}))
    plain, raised = lines(run)[-1], lines(train.resume(data, tmp_path / "raised"))[-1]
    assert plain["step"] == raised["step"] == 2
    assert raised["penalty"] == pytest.approx(4 * plain["penalty"], rel=1e-4)
    assert plain["penalty"] > 0


def test_a_doctor_that_is_off_says_and_looks_at_nothing(data, tmp_path):
    run = train.start(data, tmp_path / "run", "smoke", images=8, doctor="off")
    assert not run.findings.exists()


def test_where_a_run_stands_survives_its_file():
    progress = Progress(
        3, 0.3, configure("smoke", 56, 40), 2, 0.25, 0.4, 0.5, strength=4.0, treated={"D2 domination": 3}
    )
    assert Progress.from_json(progress.to_json()) == progress


CARDS = np.random.default_rng(0).integers(0, 256, (1, 8, 56, 40, 3), np.uint8)


def test_a_factor_of_the_penalty_is_a_larger_gamma_and_traces_nothing_anew():
    weights = []
    for gamma, strength in ((6.0, 1.0), (2.0, 3.0)):
        networks = Networks.build(config := configure("smoke", 56, 40, r1=gamma))
        step = Step(config, networks)
        step(CARDS, np.zeros((1, 8), np.int32), 0, 0.0, strength)
        weights.append(networks.discriminator.get_weights())
    assert all(np.allclose(one, other, atol=1e-6) for one, other in zip(*weights, strict=True))
    step(CARDS, np.zeros((1, 8), np.int32), 1, 0.5, 16.0)
    compiled: Any = step.compiled
    assert compiled.experimental_get_tracing_count() == 1


def test_vitals_are_those_of_the_step():
    config = configure("smoke", 56, 40)
    networks = Networks.build(config)
    moved = Movement(networks)
    step = Step(config, networks)
    before = [weight.numpy() for weight in networks.generator.trainable_variables]
    metrics = {name: float(value) for name, value in step(CARDS, np.zeros((1, 8), np.int32), 0).items()}
    after = [weight.numpy() for weight in networks.generator.trainable_variables]
    change = np.sqrt(sum(np.square(b - a).sum() for a, b in zip(before, after, strict=True)))
    norm = np.sqrt(sum(np.square(a).sum() for a in before))
    assert moved()["g_moved"] == pytest.approx(change / norm, rel=1e-3)
    assert moved() == {"d_moved": 0.0, "g_moved": 0.0}
    unit = CARDS[0] / 127.5 - 1
    assert metrics["real_low"] == pytest.approx(unit.min(), abs=1e-5)
    assert metrics["real_high"] == pytest.approx(unit.max(), abs=1e-5)
    assert metrics["real_spread"] == pytest.approx(np.sqrt(unit.var(axis=(1, 2, 3)).mean()), rel=1e-3)
    assert metrics["g_gradient"] > 0
    assert metrics["real_logit"] != metrics["fake_logit"]
    assert tf.math.is_finite(metrics["d_gradient"])
