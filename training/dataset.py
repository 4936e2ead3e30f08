"""Prepared cards: one array on disk, a hold-out the networks never see, and the kind of each card."""

import hashlib
import json
import shlex
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from training.trouble import Trouble

FEWEST_OF_A_CLASS = 8
CARDS = "cards.uint8"  # (n, height, width, 3), no header: its shape stands in the manifest
MANIFEST = "manifest.json"  # of each card its file, hash and split; of each file left out the reason

Labels = Literal["none", "folders"]


class BadDataset(Trouble):
    """The folder cannot be trained on; the message says why and what to do."""


@dataclass(frozen=True)
class Dataset:
    """Prepared cards: one uint8 array (n, height, width, 3) on disk, and who belongs to which split."""

    cards: NDArray[np.uint8]
    train: NDArray[np.intp]  # rows of cards
    holdout: NDArray[np.intp]  # rows never shown to either network
    fingerprint: str  # changes when any card or its order does
    labels: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))
    """One for each card, an index into classes; all 0 if there are none."""
    classes: tuple[str, ...] = ()
    aspect: float | None = None
    """Median width of the pictures as a share of their height, before they were fitted; None if not known."""

    def __post_init__(self) -> None:
        """Give every card of a dataset without classes the label 0."""
        if not self.classes:
            object.__setattr__(self, "labels", np.zeros(len(self.cards), np.int32))

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of a card."""
        return self.cards.shape[1], self.cards.shape[2]

    @property
    def kinds(self) -> str:
        """A hash of the classes and of every card's label; empty without classes."""
        told = json.dumps([self.classes, self.labels.tolist()])
        return hashlib.sha256(told.encode()).hexdigest()[:16] if self.classes else ""

    def refuse_batch(self, batch: int) -> None:
        """Raise BadDataset if the training split does not fill one batch."""
        if len(self.train) < batch:
            raise BadDataset(
                f"{len(self.train)} training cards are fewer than one batch of {batch}. Lower --batch."
            )


def load(folder: Path, labels: Labels = "none") -> Dataset:
    """Open what prepare wrote, mapped from disk; with labels "folders" a card's kind is its first sub-folder.

    Raises BadDataset if it is missing or damaged, or if its folders make no kinds to tell apart.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        rows = manifest["cards"]
        shape = (len(rows), manifest["height"], manifest["width"], 3)
        cards = np.memmap(folder / CARDS, np.uint8, "r", shape=shape)
        held_out = np.array([row["holdout"] for row in rows], bool)
        hashes = "".join(row["sha256"] for row in rows)
        names = [row["file"] for row in rows]
    except (FileNotFoundError, NotADirectoryError):
        raise BadDataset(not_prepared(folder)) from None
    except (ValueError, KeyError, TypeError) as error:
        raise BadDataset(
            f"The dataset {folder} is damaged ({error}). Delete it and prepare the pictures anew."
        ) from None
    fingerprint = hashlib.sha256(hashes.encode()).hexdigest()[:16]
    train = np.flatnonzero(~held_out)
    aspect = manifest.get("aspect")
    dataset = Dataset(cards, train, np.flatnonzero(held_out), fingerprint, aspect=aspect)
    return dataset if labels == "none" else labelled(dataset, names)


def not_prepared(folder: Path) -> str:
    """Say that this is not a dataset, and how to make one: prepare writes nothing into what is there."""
    name = shlex.quote(str(folder))
    if not folder.exists():
        return f"There is no dataset at {folder}. Make one from your pictures: holofoil prepare FOLDER {name}"
    if not folder.is_dir():
        return f"{folder} is not a prepared dataset but a file. Name a folder that holofoil prepare made."
    return (
        f"{folder} is not a prepared dataset: {MANIFEST} or {CARDS} is missing. If it holds your pictures, "
        f"prepare them and train on what that makes: holofoil prepare {name} DATA"
    )


def labelled(dataset: Dataset, names: list[str]) -> Dataset:
    """Label each card with the first sub-folder of its name, in alphabetical order.

    Raises BadDataset for cards in no sub-folder, a single class, or a class with hardly a card to train on.
    A picture that lies in two sub-folders was kept once by prepare, under the first of its names.
    """
    loose = [name for name in names if "/" not in name]
    if loose:
        raise BadDataset(
            f"{len(loose):,} cards, {loose[0]} the first, lie in no sub-folder. With --labels folders each "
            "kind of card has its own: move them into one and prepare the folder anew."
        )
    kinds = [name.partition("/")[0] for name in names]
    classes = tuple(sorted(set(kinds)))
    if len(classes) < 2:
        raise BadDataset(
            f"All cards lie in one sub-folder, {kinds[0]}, and --labels folders needs two or more. Sort "
            "the pictures by kind and prepare them anew, or leave out --labels."
        )
    nameless = [name for name in classes if not name.isprintable()]
    if nameless:
        raise BadDataset(
            f"The name of the sub-folder {nameless[0]!r} cannot be printed, and its kind is called by it. "
            "Rename the sub-folder and prepare the pictures anew."
        )
    numbers = {name: number for number, name in enumerate(classes)}
    labels = np.array([numbers[kind] for kind in kinds], np.int32)
    counts = np.bincount(labels[dataset.train], minlength=len(classes))
    few = [f"{classes[number]} ({counts[number]})" for number in np.flatnonzero(counts < FEWEST_OF_A_CLASS)]
    if few:
        raise BadDataset(
            f"These kinds have fewer than {FEWEST_OF_A_CLASS} cards to train on: {', '.join(few)}. "
            "Add cards, merge folders, or leave out --labels."
        )
    return replace(dataset, labels=labels, classes=classes)
