"""Makes the logs beside this file: trains the posted recipe and a healthy one, and lets each tell of itself.

    python -m tests.logs.make_logs DATA OUT [--steps 200]

DATA is prepared at 64x64 (here: sample-cards --count 1000, prepare --size 64x64). For each recipe OUT receives:
report.txt, as the question's report_progress prints; posted.txt, tqdm.txt, prints.txt, tutorial.txt, other
usual print lines of the same numbers; events, by tf.summary (which needs tensorboard); history.json, epochs.csv, keras.txt, of a Keras
fit; metrics.jsonl, by holofoil train.
"""

import argparse
import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras
import tensorflow as tf
from tqdm import tqdm

from training import dataset, train
from training.config import Config
from training.dataset import Dataset
from training.feed import Feed
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
        tell(out, list(played(config, cards, options.steps)))
        fit(out, config, cards, options.steps)
        run = train.start(options.data, out / "run", preset, batch=BATCH, images=options.steps * BATCH)
        shutil.copy(run.metrics, out / "metrics.jsonl")


def played(config: Config, cards: Dataset, steps: int) -> Iterator[dict[str, float]]:
    """Train step by step, and yield the metrics of each."""
    step = Step(config, Networks.build(config))
    with Feed(cards, config.batch, config.seed, 0) as feed:
        for index in range(steps):
            metrics = step(*feed.take(1), index, 0.0)
            yield {name: float(metrics[name]) for name in METRICS}


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
    """The same steps inside Keras' own fit, with running means as its GAN examples keep them."""

    def __init__(self, step: Step) -> None:
        super().__init__()
        self.game = step
        self.means = [keras.metrics.Mean(name=name) for name in METRICS if name != "penalty"]

    def train_step(self, data: tf.Tensor) -> dict[str, Any]:
        index = tf.cast(self.game.generator_optimizer.iterations, tf.int64)
        labels = tf.zeros((1, BATCH), tf.int32)
        metrics = self.game.compiled(data[None], labels, index, tf.constant(0.0))
        for mean in self.means:
            mean.update_state(metrics[mean.name])
        return {mean.name: mean.result() for mean in self.means}


def fit(out: Path, config: Config, cards: Dataset, steps: int) -> None:
    """Train by Keras' fit in epochs of ten steps; its bar, its History and its CSVLogger tell of it."""
    game = Game(Step(config, Networks.build(config)))
    game.compile(jit_compile=False)
    data = tf.data.Dataset.from_tensor_slices(cards.cards[cards.train]).repeat().shuffle(1000).batch(BATCH, True)
    logger = keras.callbacks.CSVLogger(str(out / "epochs.csv"))
    with (out / "keras.txt").open("w") as file, contextlib.redirect_stdout(file):
        history = game.fit(data, epochs=steps // 10, steps_per_epoch=10, callbacks=[logger])
    curves = {name: [float(value) for value in values] for name, values in history.history.items()}
    (out / "history.json").write_text(json.dumps(curves))


if __name__ == "__main__":
    main()
