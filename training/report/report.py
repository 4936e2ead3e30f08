"""A run as one page: what it was, what it learnt from, its curves and cards, and what the doctor found.

The page is one file that fetches nothing. What it shows lies in it as JSON, and page.js writes it out.
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
from tqdm import tqdm

from training import dataset, pages
from training.config import Config, DoctorName
from training.cost import cost, duration
from training.dataset import BadDataset
from training.doctor.runs import lines, metrics_of
from training.evaluate import as_text, title_of
from training.metrics import Spread
from training.report.curves import Log, charts, drawn
from training.report.findings import episodes, heard
from training.report.pictures import NEIGHBOURS_BYTES, samples, sheet, small
from training.run import Run, Source, replace_text
from training.trouble import Trouble

NAME = "report.html"
PAGE = Path(__file__).parent
REAL_CARDS = 14  # on the page
CARD_BYTES = 12_000  # of one of them


def write(folder: Path) -> Path:
    """Write a run's page into its folder, whole or not at all, and return its path.

    The run may be finished, broken off or still being written. Raises BadRun if there is none in the folder,
    its configuration is damaged, or the disk does not take the page.
    """
    place = folder / NAME
    replace_text(place, page(contents(folder)))
    return place


def refresh(run: Run) -> None:
    """Write a run's page, on one host; a run goes on without it, and says why."""
    if not run.writes:
        return
    try:
        write(run.folder)
    except (Trouble, OSError) as trouble:
        tqdm.write(f"The run's report was not written: {trouble}")


def page(contents: Mapping[str, object]) -> str:
    """Return the page; no text in it is read as HTML, and no other script runs."""
    style, script = pages.style() + (PAGE / "page.css").read_text(), (PAGE / "page.js").read_text()
    data = json.dumps(contents, allow_nan=False).replace("<", "\\u003c")
    return Template((PAGE / "page.html").read_text()).substitute(
        mark=pages.mark(),
        style=style,
        style_hash=digest(style),
        script=script,
        script_hash=digest(script),
        data=data,
    )


WORDS: Mapping[DoctorName, str] = {
    "off": "The doctor was off; the run's log was examined for this page.",
    "watch": "The doctor watched and did nothing.",
    "act": "The doctor watched, and treated what it could.",
}
"""Who looked after a run."""


def digest(text: str) -> str:
    """Return what a Content-Security-Policy names an inline text by."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def contents(folder: Path) -> dict[str, object]:
    """Return everything that the page shows."""
    run = Run.open(folder)
    config, source = run.config, run.data
    log = Log.of(metrics_of(run.metrics), config.batch)
    evaluation = evaluated(folder / "evaluation.json")
    findings = heard(metrics_of(run.metrics), config) if config.doctor == "off" else lines(run.findings)
    return {
        "name": folder.resolve().name,
        "written": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "seen": log.images,
        "planned": config.images,
        "facts": facts(config, source, log),
        "samples": [sample._asdict() for sample in samples(run.samples)],
        "doctor": WORDS[config.doctor],
        "findings": [episode.shown() for episode in episodes(findings, config.batch)],
        "setbacks": [asdict(setback) for setback in run.setbacks],
        "curves": {name: drawn(curve) for name, curve in log.curves.items()},
        "charts": [asdict(chart) for chart in charts(config, floors(evaluation))],
        "evaluation": evaluation and tables(evaluation),
        "neighbours": sheet(folder / "neighbours.png", NEIGHBOURS_BYTES),
        "data": asdict(source) | {"folder": Path(source.folder).name} | cards(source),
        "config": {name: str(value) for name, value in json.loads(config.to_json()).items()},
    }


def facts(config: Config, source: Source, log: Log) -> dict[str, str]:
    """Return what the run was and what it cost, by name."""
    costs = cost(config)
    found = {
        "Preset": f"{config.preset}, {config.width}x{config.height}",
        "Networks": f"{config.networks}, {config.loss.replace('_', '-')} loss",
        "Generator": f"{costs.generator_parameters:,} parameters, {costs.generator_gmac:.3f} GMAC a card",
        "Discriminator": f"{costs.discriminator_parameters:,} parameters, "
        f"{costs.discriminator_gmac:.3f} GMAC a card",
        "Training": f"{costs.gflop_per_image:.3g} GFLOP an image, batches of {config.batch}",
    }
    if source.training_cards:
        found["Passes"] = f"{log.images / source.training_cards:.1f} over each of the training cards"
    if log.seconds:
        pace = f"{log.images / log.seconds:.1f} images/s"
        found["Time"] = f"{duration(log.seconds)} of training, {pace}"
    if "kid" in log.curves:
        best = min(log.curves["kid"].points, key=lambda point: point.low)
        found["Best KID"] = f"{best.low:.1f}, by {best.at:,.0f} images"
    return found


def evaluated(file: Path) -> dict[str, Any] | None:
    """Return what holofoil evaluate wrote; None if it did not, or not all of it can be read."""
    try:
        evaluation = json.loads(file.read_text())
        return evaluation if tables(evaluation) else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def tables(evaluation: Mapping[str, Any]) -> dict[str, object]:
    """Return an evaluation as its tables: a metric's name, then of generated cards and of real ones."""
    sections = [
        {
            "title": f"{section['title']}, {section['cards']:,} a side",
            "rows": [row(name, measure) for name, measure in section["measures"].items()],
        }
        for section in evaluation["sections"].values()
    ]
    return {"images": evaluation["images"], "sections": sections, "notes": evaluation["notes"]}


def row(name: str, measure: Mapping[str, Any]) -> list[str]:
    """Return one line of a table."""
    return [title_of(name), *(as_text(Spread(**measure[side])) for side in ("generated", "real"))]


def floors(evaluation: Mapping[str, Any] | None) -> dict[str, float]:
    """Return what real cards reach against each other, by the metric's name."""
    measures = evaluation["sections"].get("training", {}).get("measures", {}) if evaluation else {}
    return {name: measure["real"]["mean"] for name, measure in measures.items()}


def cards(source: Source) -> dict[str, object]:
    """Return the counts and a few of the cards that the run was trained on, if they are still there."""
    try:
        found = dataset.load(Path(source.folder))
    except (BadDataset, OSError):
        return {"pictures": [], "note": "The dataset is no longer there."}
    if found.fingerprint != source.fingerprint:
        return {"pictures": [], "note": "Other cards lie there now."}
    rows = np.sort(np.random.default_rng(0).permutation(found.train)[:REAL_CARDS])
    return {
        "training_cards": len(found.train),
        "held_out_cards": len(found.holdout),
        "pictures": [small(found.cards[row], CARD_BYTES) for row in rows],
        "note": "",
    }
