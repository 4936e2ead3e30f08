"""A run's page: what it holds of finished, broken and old runs, and that it stays small."""

import base64
import io
import json
import re
import shutil
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from training.evaluate import Evaluation, Measure, Section
from training.metrics import Spread
from training.report import report
from training.report.findings import episodes
from training.report.pictures import GROUND, MOST_SAMPLES, mounted, samples, small
from training.run import BadRun, Run, grid

HOSTILE = '</script><script>alert(1)</script><img src="x" onerror="alert(1)">&amp;'


@pytest.fixture
def run(tiny_run, tmp_path):
    """A copy of a real run, to be spoilt."""
    shutil.copytree(tiny_run.run, tmp_path / "run")
    return Run.open(tmp_path / "run")


def told(run: Run) -> dict[str, Any]:
    """What a newly written page shows."""
    page = report.write(run.folder).read_text()
    (data,) = re.findall(r'<script id="report" type="application/json">(.*?)</script>', page, re.DOTALL)
    return json.loads(data)


def logged(run: Run) -> list[dict[str, float]]:
    return [json.loads(line) for line in run.metrics.read_text().splitlines()]


def finding(**parts: object) -> str:
    line = {
        "step": 2,
        "id": "D2",
        "name": "domination",
        "severity": "warning",
        "what": "It wins.",
        "over": False,
    }
    return json.dumps(line | parts) + "\n"


def test_a_run_writes_its_page_when_it_ends(tiny_run):
    page = (tiny_run.run / "report.html").read_text()
    assert '"seen": 48' in page


def test_every_signal_of_the_log_is_a_curve_through_its_values(run):
    shown, lines = told(run), logged(run)
    assert set(shown["curves"]) == {name for line in lines for name in line} - {"step", "images"}
    curve = shown["curves"]["d_loss"]
    assert curve["images"] == [line["images"] for line in lines]
    assert curve["mean"] == pytest.approx([line["d_loss"] for line in lines], rel=1e-3)


def test_every_signal_has_a_chart(run):
    shown = told(run)
    charted = {name for chart in shown["charts"] for name in chart["signals"]}
    unseen = {"input_wait", "real_low", "real_high", "projected_loss"}
    assert set(shown["curves"]) - charted <= unseen


def test_the_page_says_what_the_run_was_and_shows_its_cards(run, tiny_run):
    shown = told(run)
    assert shown["facts"]["Preset"] == "smoke, 40x56"
    assert re.fullmatch(r"[\d,]+ parameters, [\d.]+ GMAC a card", shown["facts"]["Generator"])
    assert shown["data"]["training_cards"] + shown["data"]["held_out_cards"] == 48
    assert len(shown["data"]["pictures"]) == report.REAL_CARDS
    assert [sample["images"] for sample in shown["samples"]] == [48]


def test_a_run_that_is_still_being_written_has_a_page(run):
    before = told(run)
    with run.metrics.open("a") as file:
        file.write('{"step": 7, "imag')
    with run.findings.open("a") as file:
        file.write('{"step": 7, "id": "D')
    (run.samples / "000000064.png").write_bytes(b"\x89PNG half")
    (run.folder / "evaluation.json").write_text('{"images": 4')
    after = told(run)
    assert after["curves"] == before["curves"]
    assert after["samples"] == before["samples"]
    assert after["findings"] == before["findings"]
    assert after["evaluation"] is None


def test_a_run_without_a_line_or_a_card_yet_has_a_page(run):
    run.metrics.unlink()
    shutil.rmtree(run.samples)
    source = json.loads((run.folder / "data.json").read_text()) | {"folder": "/nowhere"}
    (run.folder / "data.json").write_text(json.dumps(source))
    shown = told(run)
    assert (shown["seen"], shown["curves"], shown["samples"]) == (0, {}, [])
    assert shown["data"]["note"] == "The dataset is no longer there."


def test_a_value_that_is_no_number_is_no_point_and_no_harm(run):
    run.log({"step": 7, "images": 56, "d_loss": float("nan"), "g_loss": 1.5})
    shown = told(run)
    assert shown["curves"]["d_loss"]["images"][-1] == 48
    assert shown["curves"]["g_loss"]["images"][-1] == 56


def test_a_run_that_no_doctor_watched_is_examined_for_its_page(run):
    run.save_config(replace(run.config, doctor="off"))
    won = {
        "d_loss": 1e-4,
        "g_loss": 9.0,
        "relativistic_accuracy": 1.0,
        "real_accuracy": 1.0,
        "fake_accuracy": 1.0,
    }
    for step in range(10, 600, 10):
        run.log({"step": step, "images": step * run.config.batch} | won)
    shown = told(run)
    assert "D2" in {found["id"] for found in shown["findings"]}
    assert "was examined" in shown["doctor"]


def test_findings_are_told_from_when_to_when_with_what_was_done(run):
    run.findings.write_text(
        finding()
        + finding(step=3, severity="critical", done="gamma doubled")
        + finding(step=4, over=True)
        + finding(step=6)
    )
    batch = run.config.batch
    first, second = told(run)["findings"]
    assert (first["images"], first["until"], first["severity"]) == (2 * batch, 4 * batch, "critical")
    assert first["done"] == [[3 * batch, "gamma doubled"]]
    assert (second["images"], second["until"], second["done"]) == (6 * batch, None, [])


odd = st.none() | st.text(max_size=3) | st.floats() | st.booleans()
names = ["step", "id", "name", "severity", "what", "done", "over"]


@settings(max_examples=40)
@given(st.lists(st.dictionaries(st.sampled_from(names), odd), max_size=9))
@example([{"step": 1e308}, {"step": 10**400}])
def test_no_line_of_findings_is_too_odd(lines):
    found = [episode.shown() for episode in episodes(lines, 8)]
    assert len(found) <= len(lines)
    json.dumps(found, allow_nan=False)


def test_no_text_of_a_run_becomes_html(run):
    run.findings.write_text(finding(name=HOSTILE, evidence=HOSTILE))
    shown = told(run)
    assert shown["findings"][0]["evidence"] == HOSTILE
    page = (run.folder / report.NAME).read_text()
    assert "<img src=" not in page.partition("</style>")[2]
    assert page.count("<script") == 2


def test_an_evaluation_is_shown_beside_its_floors(run):
    measures = {"kid": Measure(Spread(31.25, 0.5), Spread(0.125, 0.25))}
    evaluation = Evaluation(48, 3, {"training": Section("Against training cards", 40, measures)}, ["A note."])
    (run.folder / "evaluation.json").write_text(json.dumps(asdict(evaluation)))
    shown = told(run)
    assert shown["evaluation"]["sections"][0]["rows"] == [["KID x1000", "31.2 ± 0.5", "0.125 ± 0.250"]]
    assert shown["evaluation"]["notes"] == ["A note."]
    (chart,) = (chart for chart in shown["charts"] if chart["title"] == "KID")
    assert chart["marks"] == {"real cards' KID": 0.125}


def test_a_page_that_cannot_be_written_stops_no_run(run, capsys):
    (run.folder / report.NAME).unlink()
    (run.folder / report.NAME).mkdir()
    (run.folder / report.NAME / "occupied").touch()
    report.refresh(run)
    assert "The run's report was not written" in capsys.readouterr().out
    with pytest.raises(BadRun):
        report.write(run.folder)


def noise(seed: int, *shape: int) -> Any:
    return np.random.default_rng(seed).integers(0, 255, (*shape, 3), np.uint8)


def test_of_many_samples_the_first_the_last_and_some_between_are_kept(tmp_path):
    for images in range(0, 1000, 10):
        Image.fromarray(noise(images, 30, 20)).save(tmp_path / f"{images:09d}.png")
    kept = [sample.images for sample in samples(tmp_path)]
    assert len(kept) == MOST_SAMPLES
    assert (kept[0], kept[-1]) == (0, 990)
    assert max(np.diff(kept)) <= 30


@pytest.mark.parametrize("budget", [900, 12_000, 90_000])
def test_even_a_picture_of_noise_keeps_to_its_budget(budget):
    encoded = base64.b64decode(small(noise(1, 300, 500), budget).partition(",")[2])
    assert len(encoded) <= budget
    with Image.open(io.BytesIO(encoded)) as image:
        assert image.width / image.height == pytest.approx(5 / 3, rel=0.1)


def test_a_sheet_loses_its_white_ground_and_no_card(tmp_path):
    cards = noise(2, 5, 30, 20)
    sheet = grid(cards)
    dark = mounted(sheet.copy())
    white = (sheet == 255).all(axis=2)
    assert (dark[white] == GROUND).all()
    assert (dark[~white] == sheet[~white]).all()
