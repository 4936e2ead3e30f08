"""A run's folder: config.json, metrics.jsonl, samples/ and checkpoints/."""

import json
import math
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from PIL import Image

from training.config import Config, from_json
from training.dataset import Dataset
from training.models import Networks
from training.trouble import Trouble

CHECKPOINTS_KEPT = 3


class BadRun(Trouble):
    """The run's folder is not what was asked for; the message says why and what to do."""


class Run:
    """The folder of one run, new or resumed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.metrics = folder / "metrics.jsonl"
        self.samples = folder / "samples"
        self.checkpoints = folder / "checkpoints"

    @staticmethod
    def create(folder: Path, config: Config, data: Path, fingerprint: str) -> "Run":
        """Make a run's folder. Raises BadRun if there is one already."""
        if (folder / "config.json").exists():
            raise BadRun(f"{folder} holds a run already. Go on with it (--resume) or name another folder.")
        run = Run(folder)
        run.samples.mkdir(parents=True, exist_ok=True)
        run.checkpoints.mkdir(exist_ok=True)
        source = {"folder": str(data.resolve()), "fingerprint": fingerprint}
        (folder / "data.json").write_text(json.dumps(source, indent=2))
        run.save_config(config)
        return run

    @staticmethod
    def open(folder: Path) -> "Run":
        """Open a run's folder. Raises BadRun if there is none."""
        if not (folder / "config.json").exists():
            raise BadRun(
                f"{folder} holds no run: config.json is missing. Start one: holofoil train DATA {folder}"
            )
        return Run(folder)

    @property
    def config(self) -> Config:
        """The configuration the run was started with."""
        return from_json((self.folder / "config.json").read_text())

    def save_config(self, config: Config) -> None:
        """Write config.json, whole or not at all."""
        written = self.folder / ".config.json.part"
        written.write_text(config.to_json())
        written.rename(self.folder / "config.json")

    @property
    def data(self) -> dict[str, str]:
        """Where the run's dataset lies ("folder") and what was in it ("fingerprint")."""
        return json.loads((self.folder / "data.json").read_text())

    def log(self, metrics: dict[str, float]) -> None:
        """Append one line to metrics.jsonl."""
        with self.metrics.open("a") as file:
            file.write(json.dumps(metrics) + "\n")

    def forget_after(self, step: int) -> None:
        """Drop the lines of metrics.jsonl that a resumed run will write again."""
        if self.metrics.exists():
            lines = self.metrics.read_text().splitlines(keepends=True)
            self.metrics.write_text("".join(line for line in lines if json.loads(line)["step"] <= step))

    def save_sample(self, images: int, cards: NDArray[np.uint8]) -> None:
        """Write one grid of cards, named by how many images the run has seen."""
        Image.fromarray(grid(cards)).save(self.samples / f"{images:09d}.png")

    def refuse_other_data(self, cards: Dataset) -> None:
        """Raise BadRun if the run was started on other cards."""
        if self.data["fingerprint"] != cards.fingerprint:
            raise BadRun(
                f"{self.folder} was trained on other cards, prepared at {self.data['folder']}. "
                "Name those, or start a new run on these."
            )

    def restore(self, networks: Networks) -> int:
        """Load the newest checkpoint; return the images it has seen. Raises BadRun if there is none."""
        newest = tf.train.latest_checkpoint(self.checkpoints)
        if newest is None:
            raise BadRun(f"{self.folder} has no checkpoint yet. Train it for longer: --resume")
        done = tf.Variable(0, dtype=tf.int64)
        tf.train.Checkpoint(**networks.parts(), done=done).restore(newest).expect_partial()
        return int(done) * self.config.batch

    def manager(self, **state: tf.Module | keras.Model | tf.Variable) -> tf.train.CheckpointManager:
        """Return the manager that saves this state under checkpoints/, newest three kept."""
        return tf.train.CheckpointManager(
            tf.train.Checkpoint(**state), str(self.checkpoints), max_to_keep=CHECKPOINTS_KEPT
        )


def grid(cards: NDArray[np.uint8], gap: int = 2) -> NDArray[np.uint8]:
    """Lay cards (n, height, width, 3) out as one picture, nearly square in cards, on white."""
    n, height, width, _ = cards.shape
    columns = math.ceil(math.sqrt(n * height / width))
    rows = math.ceil(n / columns)
    sheet = np.full((rows * (height + gap) + gap, columns * (width + gap) + gap, 3), 255, np.uint8)
    for i, card in enumerate(cards):
        y, x = gap + i // columns * (height + gap), gap + i % columns * (width + gap)
        sheet[y : y + height, x : x + width] = card
    return sheet
