"""A run's checkpoints: the newest few and the best are kept, and the newest that is whole counts.

Each is a folder named by its step, with the weights and what the run knows beside them. It is written under
another name, brought to the disk, and renamed: whoever looks finds it whole or not at all.
"""

import errno
import json
import os
import shutil
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal, Self

import keras
import tensorflow as tf
from tqdm import tqdm

from training.config import Config, from_json
from training.refusals import first_line, refusal_of
from training.staging import staged
from training.trouble import Trouble

KEPT = 3
COVERED, CHANCE = 0.8, 0.02
"""Share of the highest coverage so far that the best checkpoint has to reach; what chance may take off."""
WEIGHTS = "weights"  # .index and .data-00000-of-00001
PROGRESS = "progress.json"

State = keras.Model | keras.optimizers.Optimizer
Which = Literal["newest", "best"]

# What TensorFlow 2.21 was seen to raise for files that are missing, empty or cut short, and json for its own.
DAMAGE = (tf.errors.OpError, AssertionError, IndexError, OSError, ValueError, KeyError, TypeError)


# What says that a file cannot be had now, and nothing of what is in it.
OUT_OF_REACH = (
    PermissionError,
    tf.errors.PermissionDeniedError,
    tf.errors.UnavailableError,
    tf.errors.ResourceExhaustedError,
)
OUT_OF_REACH_NUMBERS = (errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ETIMEDOUT)


class BadCheckpoint(Trouble):
    """A checkpoint cannot be written, or none of a run's can be read."""


@dataclass(frozen=True)
class Progress:
    """Where a run stands, beside its weights."""

    step: int
    probability: float
    """Of each augmentation, as the controller left it."""
    config: Config
    """What the weights were trained with, so that a change of config.json is noticed."""
    best_step: int | None = None
    best_kid: float | None = None
    best_coverage: float = 0.0
    top_coverage: float = 0.0
    """The highest there was."""
    strength: float = 1.0
    """Of the gradient penalties, a factor of what the configuration says, as the doctor left it."""
    treated: dict[str, int] = field(default_factory=dict)
    """By the name of a trouble, the step of its last treatment."""

    @classmethod
    def at_start(cls, config: Config) -> Self:
        """Return the progress of a run that has taken no step."""
        start = config.augment_from if config.augment == "adaptive" else config.augment
        return cls(0, float(start or 0.0), config)

    def judged(self, kid: float, coverage: float) -> "Progress":
        """Return the progress after an evaluation at this step: the lowest KID is best, if it covers enough.

        KID hardly sees a collapse, coverage does: where it has fallen below COVERED times its highest, no KID
        makes a step the best, nor keeps it that.
        """
        top = max(coverage, self.top_coverage)
        enough = COVERED * top - CHANCE
        better = self.best_kid is None or self.best_coverage < enough or kid < self.best_kid
        if coverage < enough or not better:
            return replace(self, top_coverage=top)
        return replace(self, best_step=self.step, best_kid=kid, best_coverage=coverage, top_coverage=top)

    def to_json(self) -> str:
        """Write every field."""
        return json.dumps(asdict(self), indent=2)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what to_json wrote."""
        fields = json.loads(text)
        return cls(**{**fields, "config": from_json(json.dumps(fields["config"]))})


class Checkpoints:
    """The checkpoints in one folder, each named by the step it was saved after."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def steps(self) -> list[int]:
        """List the steps that were saved, newest first, by the folders that are there."""
        try:
            names = os.listdir(self.folder)  # glob finds nothing in a folder that cannot be read
        except FileNotFoundError:
            return []
        return sorted((int(name) for name in names if name.isdecimal()), reverse=True)

    def load(self, which: Which = "newest", **state: State) -> Progress | None:
        """Load a checkpoint into the state; return its progress, or None where there is no checkpoint.

        Damaged ones are named and passed over. The best is the one that the newest calls so, or the newest if
        none was evaluated. Raises BadCheckpoint if none of those that are there is whole.
        """
        newest = self.first_whole(self.steps(), state)
        if newest is None or which == "newest" or newest.best_step in (None, newest.step):
            return newest
        best_first = sorted(self.steps(), key=lambda step: step != newest.best_step)  # else stays in order
        return self.first_whole(best_first, state)

    def first_whole(self, steps: list[int], state: dict[str, State]) -> Progress | None:
        """Load the first of these checkpoints that can be read."""
        checkpoint = tf.train.Checkpoint(**state)
        for step in steps:
            path = self.folder / str(step)
            try:
                progress = Progress.from_json((path / PROGRESS).read_text())
                checkpoint.read(str(path / WEIGHTS)).assert_existing_objects_matched().expect_partial()
            except DAMAGE as error:
                if out_of_reach(error):
                    raise BadCheckpoint(
                        f"{path} cannot be read now ({first_line(error)}), though it may be whole: nothing "
                        "was changed. Mend what keeps it from being read, such as its rights, the disk or "
                        "too little memory, then try again."
                    ) from error
                tqdm.write(f"{path} is damaged ({first_line(error)}); trying the one before.")
            else:
                return progress
        if steps:
            raise BadCheckpoint(
                f"No checkpoint in {self.folder} can be read: all are damaged. Put one back from a copy, or "
                "start a new run in another folder."
            )
        return None

    def save(self, progress: Progress, **state: State) -> None:
        """Save the state after a step, and drop what is later, or neither among the newest nor the best.

        Raises BadCheckpoint where the disk does not take the files; those before stay as they are.
        """
        try:
            self.clear_away()
            with staged(self.folder / str(progress.step)) as staging:
                tf.train.Checkpoint(**state).write(str(staging / WEIGHTS))
                (staging / PROGRESS).write_text(progress.to_json())
                self.drop([progress.step])  # a damaged one that was passed over
        except (tf.errors.OpError, OSError) as error:
            what = f"The checkpoint after step {progress.step} could not be written to {self.folder}"
            raise BadCheckpoint(
                f"{refusal_of(error, what)} What was written before is whole: go on with --resume."
            ) from error
        passed_over = [step for step in self.steps() if step > progress.step]  # damaged: this run is behind
        old = self.steps()[len(passed_over) + KEPT :]
        self.drop(passed_over + [step for step in old if step != progress.best_step])

    def drop(self, steps: list[int]) -> None:
        """Remove checkpoints, each from sight first, so that none is seen half removed."""
        for step in steps:
            if (self.folder / str(step)).exists():
                gone = (self.folder / str(step)).rename(self.folder / f".{step}.gone")
                shutil.rmtree(gone)

    def clear_away(self) -> None:
        """Remove what a process that was killed left half written or half removed."""
        for path in (*self.folder.glob(".*.part"), *self.folder.glob(".*.gone")):
            shutil.rmtree(path)


def out_of_reach(error: Exception) -> bool:
    """Tell whether a file could not be had, where another one was damaged or missing."""
    return isinstance(error, OUT_OF_REACH) or getattr(error, "errno", None) in OUT_OF_REACH_NUMBERS
