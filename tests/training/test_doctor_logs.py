import json
import math
import os
import shutil
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path
from random import Random
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from training.curve import MOST
from training.doctor.balance import parted
from training.doctor.columns import BadColumns
from training.doctor.facts import Facts
from training.doctor.finding import Finding, Severity
from training.doctor.history import History
from training.doctor.logs import examine, read
from training.doctor.plot import BadPlot
from training.doctor.running_means import RunningMeans
from training.doctor.runs import BadLog
from training.doctor.survey import Column

LOGS = Path(__file__).parents[1] / "logs"
COLLAPSE, HEALTHY = LOGS / "collapse", LOGS / "healthy"
FORMS = ("report.txt", "prints.txt", "tutorial.txt", "tqdm.txt", "keras.txt", "steps.jsonl", "events")
EPOCHS = ("epochs.csv", "history.json")


def look(log: Path, columns: str = "") -> list[Finding]:
    return read(log, columns).findings


def ids(findings: list[Finding]) -> list[str]:
    return [finding.id for finding in findings]


@pytest.mark.parametrize("form", [*FORMS, *EPOCHS])
def test_the_collapse_of_the_posted_recipe_is_named_first_in_every_form_of_its_log(form: str):
    """It begins at step 70: from there the discriminator's loss stays below 0.1."""
    findings = look(COLLAPSE / form)
    assert findings[0].id == "D2"
    examination = read(COLLAPSE / form)
    (domination,) = [episode for episode in examination.episodes.values() if episode.finding.id == "D2"]
    first = domination.first.step / (
        10 if form in EPOCHS else 1
    )  # an epoch, here ten steps, is taken for 100
    assert 70 < first < 110
    assert domination.last is None


@pytest.mark.parametrize(
    "form", ["report.txt", "prints.txt", "tutorial.txt", "tqdm.txt", "events", "metrics.jsonl"]
)
def test_a_healthy_run_is_silent_but_for_how_it_was_read(form: str):
    assert {finding.severity for finding in look(HEALTHY / form)} == {Severity.NOTE}


def test_the_place_is_told_in_the_logs_own_count():
    assert look(COLLAPSE / "report.txt")[0].where.startswith("from epoch 2, step ")
    assert look(COLLAPSE / "history.json")[0].where.startswith("from epoch ")


def test_how_the_log_was_read_is_told_and_how_to_correct_it():
    (reading,) = [finding for finding in look(COLLAPSE / "report.txt") if finding.id == "L1"]
    assert "fake_accuracy from 'Accuracy on fake images', g_loss from 'gan_loss'" in reading.what
    assert reading.what.endswith("; d_loss by their own names.")
    assert "--columns d_loss=NAME" in reading.remedy


def table(path: Path, rows: list[dict[str, float]]) -> Path:
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


def test_columns_without_names_are_refused_until_they_are_named(tmp_path: Path):
    rows = [json.loads(line) for line in (COLLAPSE / "steps.jsonl").read_text().splitlines()]
    log = tmp_path / "log.csv"
    log.write_text("\n".join(f"{row['step']},{row['d_loss']},{row['g_loss']}" for row in rows))
    with pytest.raises(BadColumns, match="col2, col3"):
        look(log)
    findings = look(log, "step=col1,d_loss=col2,g_loss=col3")
    assert findings[0].id == "D2"
    assert "You named d_loss, g_loss, step" in findings[-1].why


def test_a_number_that_broke_is_a_finding(tmp_path: Path):
    rows = [{"step": i, "d_loss": 0.6 if i < 30 else float("nan"), "g_loss": 0.8} for i in range(60)]
    first = look(table(tmp_path / "log.jsonl", rows))[0]
    assert (first.id, first.severity, first.where) == ("D4", Severity.CRITICAL, "from step 30 on")


def test_losses_below_zero_have_no_level_but_can_break(tmp_path: Path):
    rows = [{"step": i, "d_loss": -5.0, "g_loss": 6.0} for i in range(60)]
    assert ids(look(table(tmp_path / "log.jsonl", rows))) == ["L1", "L5"]
    rows[40]["g_loss"] = float("inf")
    assert "D4" in ids(look(table(tmp_path / "log.jsonl", rows)))


def test_one_column_alone_says_what_cannot_be_told(tmp_path: Path):
    (tmp_path / "log.csv").write_text("d_loss\n0.6\n0.5\n0.4\n")
    findings = look(tmp_path / "log.csv")
    assert ids(findings) == ["L1", "L3", "L4"]
    assert "no g_loss" in findings[2].what


def test_means_since_the_start_are_known_and_undone(tmp_path: Path):
    """What Keras 3.0 to 3.14 would have returned of the same steps."""
    rows = [json.loads(line) for line in (COLLAPSE / "steps.jsonl").read_text().splitlines()]
    means = {
        name: [total / (n + 1) for n, total in enumerate(accumulate(row[name] for row in rows))]
        for name in ("d_loss", "g_loss")
    }
    averaged = [
        {"step": i, "d_loss": d, "g_loss": g} for i, (d, g) in enumerate(zip(*means.values(), strict=True))
    ]
    findings = look(table(tmp_path / "log.jsonl", averaged))
    assert "L7" in ids(findings)
    assert findings[0].id == "D2"
    assert findings[0].where == look(COLLAPSE / "tutorial.txt")[0].where.replace("epoch 2, step 1", "step 81")


@pytest.mark.parametrize("form", FORMS)
def test_losses_of_batches_are_not_taken_for_means(form: str):
    assert "L7" not in ids(look(COLLAPSE / form))


CURVES: dict[str, Callable[[int], float]] = {
    "falls as e^-t": lambda t: 0.1 + math.exp(-t / 50),
    "falls as 1/t": lambda t: 1 / (1 + t / 10),
    "rises to a level": lambda t: 3 - 2 / (1 + t / 30),
    "line": lambda t: 0.2 + t / 400,
    "slow wave": lambda t: 0.6 + 0.2 * math.sin(t / 60),
}


@pytest.mark.parametrize("digits", [4, 12])
@pytest.mark.parametrize("name", CURVES)
def test_curves_without_noise_are_not_taken_for_means(tmp_path: Path, name: str, digits: int):
    rows = [
        {"step": t, "d_loss": round(CURVES[name](t), digits), "g_loss": 1.0 + t / 900} for t in range(300)
    ]
    assert "L7" not in ids(look(table(tmp_path / "log.jsonl", rows)))


@given(st.integers(0, 10**6), st.floats(0.05, 0.5), st.sampled_from([4, 12]))
def test_means_of_noisy_steps_are_known_whatever_their_course(seed: int, noise: float, digits: int):
    random = Random(seed)
    column = Column()
    total = 0.0
    for n in range(1, 301):
        total += (0.7 + math.exp(-n / 40)) * random.uniform(1 - noise, 1 + noise)
        column.add(round(total / n, digits))
    assert column.is_running_mean


SQUARED = Random(3)


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_domination_under_squared_errors_is_told_by_the_losses_alone(tmp_path: Path, scale: float):
    """LSGAN's generator cannot lose more than it does where its fakes are called 0: 1, or a half of that."""
    play = [
        {"step": t, "d_loss": scale * max(0.004, 0.3 * 0.97**t), "g_loss": scale * min(0.98, 0.3 + t / 200)}
        for t in range(400)
    ]
    noisy = [
        {name: v if name == "step" else v * SQUARED.uniform(0.7, 1.3) for name, v in row.items()}
        for row in play
    ]
    first = look(table(tmp_path / "log.jsonl", noisy))[0]
    assert (first.id, first.severity) == ("D2", Severity.WARNING)
    assert 100 < int(first.where.split()[2]) < 350


@given(st.lists(st.floats(-30, 30), min_size=1, max_size=40), st.floats(0, 1))
def test_no_game_of_cross_entropy_looks_like_one_of_squared_errors(logits: list[float], real: float):
    """Whatever the discriminator says of fakes, even if all real cards cost it nothing."""
    fake = fmean(math.log1p(math.exp(logit)) for logit in logits)
    line = {"d_loss": (real + fake) / 2, "g_loss": fmean(math.log1p(math.exp(-logit)) for logit in logits)}
    history = History(Facts())
    for step in range(150):
        history.add({"step": step} | line)
    assert not parted(history)


@given(st.lists(st.floats(0, 100), min_size=1, max_size=50))
def test_undoing_running_means_gives_back_the_numbers(values: list[float]):
    means = RunningMeans()
    sums = list(accumulate(values))
    undone = [means.undo("d_loss", n, total / n) for n, total in enumerate(sums, 1)]
    assert undone == pytest.approx(values, abs=1e-9)


def test_an_accuracy_that_cannot_be_true_is_not_used(tmp_path: Path):
    """Labels of 0.9: the loss of a perfect discriminator is 0.1625, and Keras' accuracy one half."""
    rows = [
        {"step": i, "d_loss": 0.1625 + 0.5 * 0.9**i, "acc": 0.5, "g_loss": min(8.0, 0.7 + i / 10)}
        for i in range(120)
    ]
    findings = look(table(tmp_path / "log.jsonl", rows))
    assert findings[0].id == "D2"
    assert "L6" in ids(findings)
    for row in rows:
        row["d_loss"] = 0.69
    assert ids(look(table(tmp_path / "log.jsonl", rows))) == ["L1"]


def test_a_run_of_ours_is_judged_by_its_own_configuration(tmp_path: Path):
    shutil.copy(HEALTHY / "metrics.jsonl", tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(BadLog, match=r"config\.json is damaged"):
        look(tmp_path / "metrics.jsonl")


def test_the_plot_lies_beside_the_log_and_is_drawn_again(tmp_path: Path):
    log = Path(shutil.copy(COLLAPSE / "report.txt", tmp_path / "train.log"))
    for _ in range(2):
        told = [finding.done for finding in examine(log) if finding.done]
        assert told == [f"The curves with these findings are drawn in {log}.doctor.png."]
    with Image.open(f"{log}.doctor.png") as picture:
        assert picture.format == "PNG"
        assert len(set(picture.convert("RGB").resize((200, 200)).tobytes())) > 20


def test_the_finding_is_named_in_the_plot(tmp_path: Path):
    examine(COLLAPSE / "report.txt", plot=tmp_path / "plot.svg")
    assert "<!-- " in (drawn := (tmp_path / "plot.svg").read_text())
    assert "D2 domination" in drawn


def test_no_spike_of_a_long_log_is_lost_from_its_plot(tmp_path: Path):
    rows = [{"step": i, "d_loss": 50.0 if i == 4001 else 0.6, "g_loss": 0.8} for i in range(9000)]
    curve = read(table(tmp_path / "log.jsonl", rows)).curves["d_loss"]
    assert len(curve.points) <= MOST
    assert max(point.high for point in curve.points) == 50.0


def test_a_file_of_somebody_else_is_never_overwritten(tmp_path: Path):
    log = Path(shutil.copy(COLLAPSE / "report.txt", tmp_path / "train.log"))
    theirs = tmp_path / "train.log.doctor.png"
    Image.new("RGB", (4, 4)).save(theirs)
    before = theirs.read_bytes()
    assert "No plot was drawn" in examine(log)[-1].done
    with pytest.raises(BadPlot, match="was not drawn by this doctor"):
        examine(log, plot=theirs)
    assert theirs.read_bytes() == before


@pytest.mark.parametrize(
    ("name", "told"), [("plot.jpg", r"\.png or \.svg"), ("no/such/plot.png", "cannot be written")]
)
def test_a_plot_that_cannot_be_written_is_told(tmp_path: Path, name: str, told: str):
    with pytest.raises(BadPlot, match=told):
        examine(COLLAPSE / "report.txt", plot=tmp_path / name)


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes anywhere")
def test_beside_a_log_in_a_folder_without_rights_nothing_is_drawn(tmp_path: Path):
    log = Path(shutil.copy(COLLAPSE / "report.txt", tmp_path / "train.log"))
    tmp_path.chmod(0o500)
    assert "No plot was drawn" in examine(log)[-1].done
