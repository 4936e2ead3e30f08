"""A run's checkpoints: the newest few are kept, and the newest that is whole counts."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import keras
import tensorflow as tf
from tqdm import tqdm

from training.trouble import Trouble

KEPT = 3
PREFIX = "ckpt"

# What TensorFlow 2.21 was seen to raise for files that are missing, empty or cut short.
DAMAGE = (tf.errors.OpError, AssertionError, IndexError, ValueError)


class BadCheckpoint(Trouble):
    """A checkpoint cannot be written, or none of a run's can be read."""


class Checkpoints:
    """The checkpoints in one folder, each named by the step it was saved after."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def steps(self) -> list[int]:
        """List the steps that were saved, newest first, by the files that are there."""
        names = (re.fullmatch(rf"{PREFIX}-(\d+)\.index", path.name) for path in self.folder.glob("*.index"))
        return sorted((int(name[1]) for name in names if name), reverse=True)

    def load(self, **state: keras.Model | keras.optimizers.Optimizer) -> int:
        """Load the newest whole checkpoint into the state; return its step, or 0 where there is none.

        Damaged ones are named and passed over. Raises BadCheckpoint if none of those that are there is whole.
        """
        checkpoint = tf.train.Checkpoint(**state)
        for step in self.steps():
            path = self.folder / f"{PREFIX}-{step}"
            try:
                checkpoint.restore(str(path)).assert_existing_objects_matched()
            except DAMAGE as error:
                tqdm.write(f"{path} is damaged ({first_line(error)}); trying the one before.")
            else:
                return step
        if self.steps():
            raise BadCheckpoint(f"No checkpoint in {self.folder} can be read. Start a new run.")
        return 0

    def saver(self, **state: keras.Model | keras.optimizers.Optimizer) -> Callable[[int], None]:
        """Return what saves this state after a step and drops the oldest checkpoint.

        It raises BadCheckpoint where the disk does not take the files; those before stay as they are.
        """
        manager = tf.train.CheckpointManager(
            tf.train.Checkpoint(**state), str(self.folder), max_to_keep=KEPT, checkpoint_name=PREFIX
        )

        def save(step: int) -> None:
            try:
                manager.save(step)
            except tf.errors.OpError as error:
                shutil.rmtree(self.folder / f"{PREFIX}-{step}_temp", ignore_errors=True)
                full = isinstance(error, tf.errors.ResourceExhaustedError)
                raise BadCheckpoint(
                    f"The checkpoint after step {step} could not be written to {self.folder} "
                    f"({'the disk is full' if full else first_line(error)}). Those before are whole: "
                    "make room, then go on with --resume."
                ) from error

        return save


def first_line(error: Exception) -> str:
    """Return the first line of an error's message."""
    return (str(error).splitlines() or [type(error).__name__])[0]
