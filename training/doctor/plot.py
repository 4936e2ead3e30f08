"""The curves of a log with the findings marked, as PNG or SVG."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from training.curve import Curve
from training.doctor.finding import Severity
from training.trouble import NothingToJudge

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from training.doctor.logs import Episode

AUTHOR = "holofoil doctor"
"""Written into each plot, by which one of ours is known again."""
FORMATS = {".png": "Software", ".svg": "Creator"}
"""Suffixes, and the field of the file that names its author."""
PANELS = {
    "discriminator's loss": ("d_loss",),
    "generator's loss": ("g_loss",),
    "share that is right": ("real_accuracy", "fake_accuracy", "relativistic_accuracy"),
}
COLOURS = {
    "d_loss": "#2a6fb0",
    "g_loss": "#b06a1c",
    "real_accuracy": "#2a6fb0",
    "fake_accuracy": "#b06a1c",
    "relativistic_accuracy": "#6b4a9c",
}
SHADES = {Severity.CRITICAL: "#c8402f", Severity.WARNING: "#d99a2b", Severity.NOTE: "#8a8a8a"}


class BadPlot(NothingToJudge):
    """The plot cannot be written there; the message says where it can."""


def draw(curves: Mapping[str, Curve], episodes: "Iterable[Episode]", log: Path, plot: Path | None) -> str:
    """Write the plot to the file that was named, or beside the log; return one sentence on it.

    Raises BadPlot if the named file cannot be written or is somebody else's. Beside the log that is no error.
    """
    path = plot or log.with_name(f"{log.resolve().name}.doctor.png")
    try:
        refuse_others(path)
        figure_of(curves, list(episodes)).savefig(
            path, dpi=110, metadata={FORMATS[path.suffix.lower()]: AUTHOR}, format=path.suffix[1:].lower()
        )
    except (BadPlot, OSError) as error:
        told = error if isinstance(error, BadPlot) else f"{path} cannot be written ({error.strerror})."
        if plot:
            raise BadPlot(f"{told} Name another file: --plot FILE.png") from None
        return f"No plot was drawn: {told} Name a file: --plot FILE.png"
    return f"The curves with these findings are drawn in {path}."


def refuse_others(path: Path) -> None:
    """Raise BadPlot for a suffix that is not drawn, and for a file that is there and not ours."""
    if path.suffix.lower() not in FORMATS:
        raise BadPlot(f"{path} is not a picture that can be drawn: its name should end in .png or .svg.")
    if path.exists() and AUTHOR.encode() not in beginning(path):
        raise BadPlot(f"{path} is there already, was not drawn by this doctor, and stays as it is.")


def beginning(path: Path) -> bytes:
    """Return the first bytes of a file, in which our plots name their author."""
    with path.open("rb") as file:
        return file.read(4096)


def figure_of(curves: Mapping[str, Curve], episodes: "list[Episode]"):  # noqa: ANN201
    """Draw a panel for each kind of signal that the log has."""
    from matplotlib.figure import Figure

    panels = {
        title: [name for name in names if name in curves]
        for title, names in PANELS.items()
        if any(name in curves for name in names)
    }
    figure = Figure(figsize=(10, 1 + 2.2 * max(1, len(panels))), layout="constrained")
    end = max((point.at for curve in curves.values() for point in curve.points), default=0.0)
    axes = figure.subplots(max(1, len(panels)), 1, sharex=True, squeeze=False)[:, 0]
    for axis, (title, names) in zip(axes, panels.items(), strict=False):
        for name in names:
            steps, _, means, lows, highs = zip(*curves[name].points, strict=True)
            axis.plot(
                steps, means, color=COLOURS[name], linewidth=1, label=name, marker="." * (len(steps) < 30)
            )
            axis.fill_between(steps, lows, highs, color=COLOURS[name], alpha=0.2, linewidth=0)
        axis.set_title(title, loc="left", fontsize=10)
        if len(names) > 1:
            axis.legend(frameon=False, fontsize=8, loc="lower right")
        style(axis)
        mark(axis, episodes, end)
    label(axes[0], episodes)
    axes[-1].set_xlabel("step")
    return figure


def style(axis: "Axes") -> None:
    """Keep what helps to read it."""
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)


def mark(axis: "Axes", episodes: "list[Episode]", end: float) -> None:
    """Shade where each finding holds."""
    for episode in episodes:
        colour = SHADES[episode.finding.severity]
        first, last = episode.first.step, episode.last.step if episode.last else end
        axis.axvspan(first, last, color=colour, alpha=0.12, linewidth=0)
        axis.axvline(first, color=colour, linewidth=1)


def label(axis: "Axes", episodes: "list[Episode]") -> None:
    """Name the findings where they begin, below each other."""
    for row, episode in enumerate(episodes):
        axis.annotate(
            f" {episode.finding.id} {episode.finding.name}",
            (episode.first.step, 0.97 - 0.11 * row),
            xycoords=("data", "axes fraction"),
            color=SHADES[episode.finding.severity],
            fontsize=9,
            va="top",
        )
