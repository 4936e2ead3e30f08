"""The demo's picture: each trial's losses, its discriminator's right answers, and its cards."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from training.config import CONFUSED
from training.doctor.trial import Trial
from training.run import replace_bytes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, BROWN = "#2a6fb0", "#b06a1c"
DPI = 100
COLOURS = 96
ROW = 1.5  # inches a trial: two rows of cards in about their own pixels
LEAST, MOST = 1e-3, 30.0  # losses shown


def save_picture(trials: Sequence[Trial], path: Path) -> None:
    """Write the picture as PNG of few colours, whole or not at all. Raises BadRun where the disk is full."""
    drawn = io.BytesIO()
    picture_of(trials).savefig(drawn, format="png", dpi=DPI)
    small = io.BytesIO()
    Image.open(drawn).convert("RGB").quantize(COLOURS).save(small, "PNG", optimize=True)
    replace_bytes(path, small.getvalue())


def picture_of(trials: Sequence[Trial]) -> "Figure":
    """Draw a row for each trial, all over the same number of images."""
    from matplotlib.figure import Figure  # takes a second that other commands need not spend

    figure = Figure(figsize=(11.5, ROW * len(trials) + 0.6), layout="constrained")
    layout = {"width_ratios": (3, 3, 5.4)}
    axes = figure.subplots(len(trials), 3, squeeze=False, gridspec_kw=layout)
    most = max(trial.images for trial in trials)
    for trial, (losses, shares, cards) in zip(trials, axes, strict=True):
        plot_losses(losses, trial)
        plot_shares(shares, trial)
        show_cards(cards, trial)
        for axis in (losses, shares):
            axis.set_xlim(0, most)
            axis.grid(alpha=0.25)
            axis.spines[["top", "right"]].set_visible(False)
            axis.tick_params(labelsize=8, labelbottom=trial is trials[-1])
    for axis in axes[0, :2]:
        axis.legend(fontsize=8, loc="lower left")
    for axis in axes[-1, :2]:
        axis.set_xlabel("real images shown", fontsize=8)
    return figure


def plot_losses(axis: "Axes", trial: Trial) -> None:
    """Plot both losses, on a scale where a collapse is a steady fall."""
    plot(axis, trial, "d_loss", "discriminator", BLUE)
    plot(axis, trial, "g_loss", "generator", BROWN)
    axis.axhline(CONFUSED["posted"], color="#888888", linewidth=0.7, linestyle=":")
    axis.set(yscale="log", ylim=(LEAST, MOST), yticks=(1e-2, 1))
    axis.set_ylabel("loss", fontsize=8)
    axis.set_title(trial.name, loc="left", fontsize=11, fontweight="bold")


def plot_shares(axis: "Axes", trial: Trial) -> None:
    """Plot the shares of real and of fake cards that the discriminator knows as such."""
    plot(axis, trial, "real_accuracy", "real", BLUE)
    plot(axis, trial, "fake_accuracy", "fake", BROWN)
    axis.set_ylim(-0.03, 1.03)
    axis.set_ylabel("share right", fontsize=8)
    shares = f"real {trial.at_the_end('real_accuracy'):.2f}, fake {trial.at_the_end('fake_accuracy'):.2f}"
    axis.set_title(f"right at the end: {shares}", loc="left", fontsize=8.5)


def show_cards(axis: "Axes", trial: Trial) -> None:
    """Show generated cards, none chosen."""
    axis.imshow(trial.cards)
    axis.axis("off")
    axis.set_title(f"KID {trial.kid:.0f} · {trial.does}", loc="left", fontsize=8.5)


def plot(axis: "Axes", trial: Trial, curve: str, label: str, colour: str) -> None:
    """Plot one curve over the images shown."""
    values = trial.curves[curve]
    images = trial.batch * np.arange(1, len(values) + 1)
    axis.plot(images, values, color=colour, linewidth=0.8, label=label)
