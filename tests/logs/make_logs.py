"""Makes the logs beside this file: trains the posted recipe and a healthy one, and lets each tell of itself.

    python -m tests.logs.make_logs DATA OUT [--steps 200]

DATA is prepared at 64x64 (for the files here: the real cards that training/LOG.md tells of). For each recipe OUT receives:
report.txt, as the question's report_progress prints; tqdm.txt, prints.txt, tutorial.txt, other
usual print lines of the same numbers; events, by tf.summary (which needs tensorboard); history.json, epochs.csv, keras.txt, of a Keras
fit; metrics.jsonl, by holofoil train.
"""

import argparse
import contextlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras
import tensorflow as tf
from tqdm import tqdm

from training import dataset, train
from training.config import Config
from training.dataset import Dataset
from training.models import Networks
from training.presets import configure
from training.step import METRICS, Step

RECIPES = {"collapse": "seed", "healthy": "dcgan-r1"}
BATCH = 32
EPOCH = 40  # steps


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=200)
    options = parser.parse_args()
    cards = dataset.load(options.data)
    for name, preset in RECIPES.items():
        out = options.out / name
        out.mkdir(parents=True, exist_ok=True)
        config = configure(preset, 64, 64, batch=BATCH, images=options.steps * BATCH)
        tell(out, fit(out, config, cards, options.steps))
    for name, preset in RECIPES.items():
        out = options.out / name
        run = train.start(options.data, out / "run", preset, batch=BATCH, images=options.steps * BATCH)
        shutil.copy(run.metrics, out / "metrics.jsonl")


def tell(out: Path, lines: list[dict[str, float]]) -> None:
    """Print and log the same numbers as people do."""
    write_report(out / "report.txt", lines)
    write_prints(out / "prints.txt", lines)
    write_tutorial(out / "tutorial.txt", lines)
    write_bar(out / "tqdm.txt", lines)
    write_events(out / "events", lines)


def write_report(path: Path, lines: list[dict[str, float]]) -> None:
    """Print as the question's report_progress does, its end of an epoch included."""
    with path.open("w") as file:
        for index, line in enumerate(lines):
            epoch, step = divmod(index, EPOCH)
            d_loss, gan_loss = line["d_loss"], line["g_loss"]
            if step == EPOCH - 1:
                acc_real, acc_fake = line["real_accuracy"], line["fake_accuracy"]
                print(
                    "Disciminator Accuracy on real images: %.0f%%, on fake images: %.0f%%"
                    % (acc_real * 100, acc_fake * 100),
                    file=file,
                )
            elif step % 10 == 0:
                print(
                    f"[Epoch {epoch}, Step {step}] d_loss = {round(d_loss, 4)} | "
                    f"gan_loss = {round(gan_loss, 4)}",
                    file=file,
                )


def write_prints(path: Path, lines: list[dict[str, float]]) -> None:
    """Print as the Keras-GAN collection does: the count of steps is called epoch there."""
    with path.open("w") as file:
        for index, line in enumerate(lines):
            accuracy = (line["real_accuracy"] + line["fake_accuracy"]) / 2
            print(
                "%d [D loss: %f, acc.: %.2f%%] [G loss: %f]"
                % (index, line["d_loss"], 100 * accuracy, line["g_loss"]),
                file=file,
            )


def write_tutorial(path: Path, lines: list[dict[str, float]]) -> None:
    """Print as PyTorch's DCGAN tutorial does."""
    with path.open("w") as file:
        for index, line in enumerate(lines):
            print(
                "[%d/%d][%d/%d]\tLoss_D: %.4f\tLoss_G: %.4f"
                % (index // EPOCH, len(lines) // EPOCH, index % EPOCH, EPOCH, line["d_loss"], line["g_loss"]),
                file=file,
            )


def write_bar(path: Path, lines: list[dict[str, float]]) -> None:
    """Let tqdm draw a bar for each epoch."""
    with path.open("w") as file:
        for epoch in range(0, len(lines) // EPOCH):
            part = lines[epoch * EPOCH : (epoch + 1) * EPOCH]
            with tqdm(part, desc=f"Epoch {epoch}", file=file, mininterval=0) as bar:
                for line in bar:
                    bar.set_postfix(d_loss=line["d_loss"], g_loss=line["g_loss"])


def write_events(folder: Path, lines: list[dict[str, float]]) -> None:
    """Log by tf.summary."""
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(folder)
    with tf.summary.create_file_writer(str(folder)).as_default():
        for index, line in enumerate(lines):
            tf.summary.scalar("loss/discriminator", line["d_loss"], index)
            tf.summary.scalar("loss/generator", line["g_loss"], index)
            tf.summary.scalar("accuracy/real", line["real_accuracy"], index)
            tf.summary.scalar("accuracy/fake", line["fake_accuracy"], index)


class Game(keras.Model):
    """Our steps inside Keras' own fit, with running means as its GAN examples keep them."""

    def __init__(self, step: Step) -> None:
        super().__init__()
        self.game = step
        self.means = [keras.metrics.Mean(name=name) for name in METRICS if name != "penalty"]
        self.newest = [tf.Variable(0.0) for _ in METRICS]

    def train_step(self, data: tf.Tensor) -> dict[str, Any]:
        index = tf.cast(self.game.generator_optimizer.iterations, tf.int64)
        labels = tf.zeros(BATCH, tf.int32)
        metrics = dict(zip(METRICS, tf.unstack(self.game.step(data, labels, index, tf.constant(0.0))), strict=True))
        for mean in self.means:
            mean.update_state(metrics[mean.name])
        for variable, name in zip(self.newest, METRICS, strict=True):
            variable.assign(metrics[name])
        return {mean.name: mean.result() for mean in self.means}


class Steps(keras.callbacks.Callback):
    """Keeps the metrics of each step, which Keras' logs show as means."""

    def __init__(self, game: Game) -> None:
        super().__init__()
        self.game = game
        self.lines: list[dict[str, float]] = []

    def on_train_batch_end(self, batch: int, logs: object = None) -> None:
        values = [float(variable) for variable in self.game.newest]
        self.lines.append(dict(zip(METRICS, values, strict=True)))


def fit(out: Path, config: Config, cards: Dataset, steps: int) -> list[dict[str, float]]:
    """Train by Keras' fit in epochs of ten steps; its bar, its History and its CSVLogger tell of it.

    Returns the metrics of each step.
    """
    game = Game(Step(config, Networks.build(config)))
    game.compile(jit_compile=False)
    pictures = tf.data.Dataset.from_tensor_slices(cards.cards[cards.train])
    pictures = pictures.repeat().shuffle(1000, seed=0).batch(BATCH, True)
    told = Steps(game)
    callbacks = [told, keras.callbacks.CSVLogger(str(out / "epochs.csv"))]
    with (out / "keras.txt").open("w") as file, contextlib.redirect_stdout(file):
        history = game.fit(pictures, epochs=steps // 10, steps_per_epoch=10, callbacks=callbacks)
    curves = {name: [float(value) for value in values] for name, values in history.history.items()}
    (out / "history.json").write_text(json.dumps(curves))
    return told.lines


if __name__ == "__main__":
    main()
