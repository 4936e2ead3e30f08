"""Trains the posted recipe and the repaired one on the same cards, then serves the second and scores with it.

    python tests/benchmarks/posted_against_repaired.py FOLDER OUT [--images 12000] [--batch 32] [--size 64x64]

FOLDER holds card images; OUT receives dataset, runs, model store, losses.png and both sample grids.
What is there already is not done again. Prints two tables in Markdown.
"""

import argparse
import base64
import io
import json
from pathlib import Path

import httpx
import matplotlib as mpl
import numpy as np
from PIL import Image

from serving import cards
from serving.embedded import EmbeddedBackend
from tests.fakes.live import live
from training import dataset, train
from training.export import export
from training.folder import parse_size
from training.prepare import prepare
from training.run import Run

PRESETS = {"seed": "posted", "dcgan-r1": "repaired"}
D_LOSS_TERMS = {"seed": 1, "dcgan-r1": 2}  # brought to one scale: 0.693 is an undecided discriminator
REQUEST = 16


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--images", type=int, default=12_000)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--size", default="64x64")
    options = parser.parse_args()

    data = options.out / "data"
    if not data.exists():
        prepare(options.folder, data, *parse_size(options.size))
    runs = {preset: trained(preset, data, options) for preset in PRESETS}
    metrics = {preset: read_metrics(run) for preset, run in runs.items()}
    print_losses(metrics)
    plot_losses(metrics, options.out / "losses.png")
    store = options.out / "store"
    if not store.exists():
        export(runs["dcgan-r1"].folder, store)
    print_scores(store, dataset.load(data))


def trained(preset: str, data: Path, options: argparse.Namespace) -> Run:
    folder = options.out / preset
    if (folder / "config.json").exists():
        return train.resume(data, folder)
    changes = {"images": options.images, "batch": options.batch, "sample_every": options.images}
    return train.start(data, folder, preset, **changes)


def read_metrics(run: Run) -> dict[str, np.ndarray]:
    lines = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    curves = {name: np.array([line[name] for line in lines]) for name in lines[0]}
    curves["d_loss"] /= D_LOSS_TERMS[run.config.preset]
    return curves


def print_losses(metrics: dict[str, dict[str, np.ndarray]]) -> None:
    """Print, for stretches of the run, the median of each curve."""
    names = ["d_loss", "g_loss", "real_accuracy", "fake_accuracy", "relativistic_accuracy"]
    print("| recipe | images | D loss | G loss | right on real | right on fake | relativistic |")
    print("|---|---|---|---|---|---|---|")
    for preset, curves in metrics.items():
        for stretch in np.array_split(np.arange(len(curves["images"])), 6):
            first, last = curves["images"][stretch[[0, -1]]].astype(int)
            medians = " | ".join(f"{np.median(curves[name][stretch]):.3f}" for name in names)
            print(f"| {PRESETS[preset]} | {first:,} to {last:,} | {medians} |")


def plot_losses(metrics: dict[str, dict[str, np.ndarray]], path: Path) -> None:
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    colours = {"seed": "#c8402f", "dcgan-r1": "#2a6fb0"}
    panels = {
        "discriminator's loss (0.69: undecided)": "d_loss",
        "generator's loss": "g_loss",
        "share of pairs ranked right": "relativistic_accuracy",
    }
    figure, axes = plt.subplots(1, 3, figsize=(12, 3.4), constrained_layout=True)
    for axis, (title, name) in zip(axes, panels.items(), strict=True):
        for preset, curves in metrics.items():
            axis.plot(
                curves["images"], curves[name], label=PRESETS[preset], color=colours[preset], linewidth=1
            )
        axis.set(title=title, xlabel="real images shown")
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].legend(frameon=False)
    figure.savefig(path, dpi=110)


def print_scores(store: Path, data: dataset.Dataset) -> None:
    """Score held-out cards, generated cards and noise over HTTP."""
    held_out = data.cards[data.holdout]
    height, width = data.size
    noise = np.random.default_rng(0).integers(0, 256, (len(held_out), height, width, 3), np.uint8)
    with live(EmbeddedBackend(store, deadline=60)) as url, httpx.Client(base_url=url, timeout=120) as client:
        generated = drawn(client, len(held_out))
        scores = {
            "held-out real": scored(client, held_out),
            "generated": scored(client, generated),
            "uniform noise": scored(client, noise),
        }
    real = scores["held-out real"]["logit"]
    print("\n| cards | n | logit, median | probability, median | percentile, median | real ranked above |")
    print("|---|---|---|---|---|---|")
    for name, score in scores.items():
        medians = [np.median(score[value]) for value in ("logit", "probability", "percentile")]
        above = (real[:, None] > score["logit"]).mean() + (real[:, None] == score["logit"]).mean() / 2
        print(
            f"| {name} | {len(score['logit'])} | {medians[0]:.2f} | {medians[1]:.3f} | {medians[2]:.1f} "
            f"| {above:.3f} |"
        )


def drawn(client: httpx.Client, n: int) -> np.ndarray:
    answers = [
        client.post("/generate", json={"n": REQUEST, "seed": seed}).raise_for_status().json()["data"]
        for seed in range(0, n, REQUEST)
    ]
    images = [base64.b64decode(card["b64_json"]) for answer in answers for card in answer]
    return np.stack([np.asarray(Image.open(io.BytesIO(image))) for image in images])[:n]


def scored(client: httpx.Client, pixels: np.ndarray) -> dict[str, np.ndarray]:
    rows = []
    for start in range(0, len(pixels), REQUEST):
        files = [("files", ("card.png", cards.encode(card))) for card in pixels[start : start + REQUEST]]
        rows += client.post("/score", files=files).raise_for_status().json()["data"]
    return {name: np.array([row[name] for row in rows]) for name in ("logit", "probability", "percentile")}


if __name__ == "__main__":
    main()
