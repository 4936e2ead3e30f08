"""The posted recipe and its repairs, trained one after another: which of them matters?"""

import math
from pathlib import Path

from training import dataset
from training.dataset import Dataset
from training.doctor.demo_picture import save_picture
from training.doctor.repairs import BATCH, SIDE, Recipe, recipes
from training.doctor.trial import Trial, trial
from training.judge import Judge
from training.prepare import prepare
from training.sample_cards.cards import sample_cards
from training.trouble import Trouble

CARDS = 1000  # drawn to train on
JUDGED = 300  # cards on either side of a KID
PICTURE = "demo.png"

HEADS = ("keeps the above and", "images", "D loss", "G loss", "right on real", "right on fake", "KID")
NOTES = """\
Losses and shares are means over the last tenth of the steps, as training saw them: with dropout, and with
augmentation where the recipe has it. The discriminator's loss is the mean over real and fake cards: 0.69 is
undecided, 0 is certain. KID x1000 is between {judged} generated and {judged} training cards: lower is better,
two sets of real cards have about 0."""


class BadDemo(Trouble):
    """The demo cannot be made like this; the message says why."""


def demo(
    out: Path, minutes: float = 3.0, count: int = CARDS, chosen: tuple[Recipe, ...] | None = None
) -> str:
    """Train each recipe for so many minutes of processor time; write OUT/demo.png and return a table.

    Equal time, not equal images: a penalty that makes steps dearer has to be worth it. `count` sample cards
    are drawn to train on; `chosen` leaves recipes out. A trial that lies in OUT is not made again. Raises
    BadDemo.
    """
    if not 0 < minutes < math.inf:
        raise BadDemo(f"--minutes is {minutes:g}; give each recipe some time, such as 3.")
    cards = drawn(out, count)
    judge = Judge(cards, JUDGED, out / "data")
    batch = min(BATCH, len(cards.train))
    trials = [
        trial(recipe, cards, judge, 60 * minutes, out / recipe.name.replace(" ", "-"))
        for recipe in chosen or tuple(recipes(batch))
    ]
    save_picture(trials, out / PICTURE)
    return f"{table(trials)}\n\n{NOTES.format(judged=judge.count)}\nThe picture: {out / PICTURE}"


def drawn(out: Path, count: int) -> Dataset:
    """Return sample cards at 64x64, drawn and prepared in OUT unless they lie there."""
    data = out / "data"
    if not data.exists():
        sample_cards(out / "cards", count)
        prepare(out / "cards", data, SIDE, SIDE)
    return dataset.load(data)


def table(trials: list[Trial]) -> str:
    """Write one line for each trial, its columns aligned."""
    rows = [("", *HEADS), *(row(trial) for trial in trials)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(line(cells, widths) for cells in rows)


def row(trial: Trial) -> tuple[str, ...]:
    """Write a trial's numbers."""
    return (
        trial.name,
        trial.does,
        f"{trial.images:,}",
        f"{trial.at_the_end('d_loss'):.4f}",
        f"{trial.at_the_end('g_loss'):.2f}",
        f"{trial.at_the_end('real_accuracy'):.3f}",
        f"{trial.at_the_end('fake_accuracy'):.3f}",
        f"{trial.kid:.0f}",
    )


def line(cells: tuple[str, ...], widths: list[int]) -> str:
    """Align words to the left and numbers to the right."""
    words = 2
    padded = [
        cell.ljust(width) if column < words else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return "  ".join(padded).rstrip()
