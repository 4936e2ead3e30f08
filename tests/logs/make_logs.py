"""Makes logs to test with: trains for real, and tells of it in the forms that people's logs have.

    python -m tests.logs.make_logs fit DATA PRESET OUT [--steps 200]
    python -m tests.logs.make_logs tell STEPS.jsonl OUT

fit trains a preset on a dataset of 64x64 inside Keras' own fit, in epochs of ten steps: OUT receives
keras.txt, what it printed; epochs.csv, of CSVLogger; history.json; steps.jsonl, the numbers of each step.
tell takes such lines, or a run's metrics.jsonl: OUT receives report.txt, as the question's report_progress
prints; prints.txt, tutorial.txt, tqdm.txt, other usual lines; events, by tf.summary, which needs tensorboard.
"""

import argparse
import contextlib
import json
import os
from pathlib import Path
from typing import IO, Any

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras
import tensorflow as tf
from tqdm import tqdm

from training import dataset
from training.models import Networks
from training.presets import configure
from training.step import METRICS, Step

BATCH = 32
EPOCH = 40  # steps

Line = dict[str, float]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    training = commands.add_parser("fit")
    training.add_argument("data", type=Path)
    training.add_argument("preset")
    training.add_argument("out", type=Path)
    training.add_argument("--steps", type=int, default=200)
    telling = commands.add_parser("tell")
    telling.add_argument("lines", type=Path)
    telling.add_argument("out", type=Path)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    if options.command == "fit":
        fit(options.out, options.preset, dataset.load(options.data), options.steps)
    else:
        tell(options.out, [json.loads(line) for line in options.lines.read_text().splitlines()])


class Game(keras.Model):
    """Our steps inside Keras' own fit, with running means as its GAN examples keep them."""

    def __init__(self, step: Step) -> None:
        super().__init__()
        self.game = step
        self.means = [keras.metrics.Mean(name=name) for name in METRICS if name != "penalty"]
        self.newest = [tf.Variable(0.0) for _ in METRICS]

    def train_step(self, data: tf.Tensor) -> dict[str, Any]:
        index = tf.cast(self.game.optimizers["generator"].iterations, tf.int64)
        labels = tf.zeros(BATCH, tf.int32)
        told = tf.unstack(self.game.step(data, labels, index, tf.constant(0.0), tf.constant(1.0)))
        metrics: dict[str, Any] = dict(zip(METRICS, told, strict=False))
        for mean in self.means:
            mean.update_state(metrics[mean.name])
        for variable, name in zip(self.newest, METRICS, strict=True):
            variable.assign(metrics[name])
        return {mean.name: mean.result() for mean in self.means}


class Steps(keras.callbacks.Callback):
    """Writes the numbers of each step, which Keras' logs show as means."""

    def __init__(self, game: Game, file: IO[str]) -> None:
        super().__init__()
        self.game, self.file = game, file
        self.step = 0

    def on_train_batch_end(self, batch: int, logs: object = None) -> None:
        values = [float(variable.numpy()) for variable in self.game.newest]
        self.file.write(json.dumps({"step": self.step} | dict(zip(METRICS, values, strict=True))) + "\n")
        self.step += 1


def fit(out: Path, preset: str, cards: dataset.Dataset, steps: int) -> None:
    """Train by Keras' fit; its bar, its History, its CSVLogger and a file of steps tell of it."""
    config = configure(preset, 64, 64, batch=BATCH, images=steps * BATCH)
    game = Game(Step(config, Networks.build(config)))
    uncompiled: Any = {"jit_compile": False}  # Keras' own annotation knows words only
    game.compile(**uncompiled)
    pictures = tf.data.Dataset.from_tensor_slices(cards.cards[cards.train])
    pictures = pictures.repeat().shuffle(1000, seed=0).batch(BATCH, True)
    with (
        (out / "steps.jsonl").open("w") as numbers,
        (out / "keras.txt").open("w") as printed,
        contextlib.redirect_stdout(printed),
    ):
        callbacks = [Steps(game, numbers), keras.callbacks.CSVLogger(str(out / "epochs.csv"))]
        history = game.fit(
            pictures, epochs=steps // 10, steps_per_epoch=10, callbacks=callbacks, shuffle=False
        )
    curves = {name: [float(value) for value in values] for name, values in history.history.items()}
    (out / "history.json").write_text(json.dumps(curves))


def tell(out: Path, lines: list[Line]) -> None:
    """Print and log the same numbers as people do."""
    write_report(out / "report.txt", lines)
    write_prints(out / "prints.txt", lines)
    write_tutorial(out / "tutorial.txt", lines)
    write_bar(out / "tqdm.txt", lines)
    write_events(out / "events", lines)


def write_report(path: Path, lines: list[Line]) -> None:
    """Print as the question's report_progress does, its end of an epoch included."""
    with path.open("w") as file:
        for line in lines:
            epoch, step = divmod(int(line["step"]), EPOCH)
            d_loss, gan_loss = line["d_loss"], line["g_loss"]
            if step == EPOCH - 1:
                acc_real, acc_fake = line["real_accuracy"], line["fake_accuracy"]
                print(
                    "Disciminator Accuracy on real images: %.0f%%, on fake images: %.0f%%"  # noqa: UP031
                    % (acc_real * 100, acc_fake * 100),
                    file=file,
                )
            elif step % 10 == 0:
                print(
                    f"[Epoch {epoch}, Step {step}] d_loss = {round(d_loss, 4)} | "
                    f"gan_loss = {round(gan_loss, 4)}",
                    file=file,
                )


def write_prints(path: Path, lines: list[Line]) -> None:
    """Print as the Keras-GAN collection does: the count of steps has no name."""
    with path.open("w") as file:
        for line in lines:
            accuracy = (line["real_accuracy"] + line["fake_accuracy"]) / 2
            print(
                f"{line['step']} [D loss: {line['d_loss']:f}, acc.: {100 * accuracy:.2f}%] "
                f"[G loss: {line['g_loss']:f}]",
                file=file,
            )


def write_tutorial(path: Path, lines: list[Line]) -> None:
    """Print as PyTorch's DCGAN tutorial does."""
    with path.open("w") as file:
        for line in lines:
            epoch, step = divmod(int(line["step"]), EPOCH)
            print(
                f"[{epoch}/25][{step}/{EPOCH}]\tLoss_D: {line['d_loss']:.4f}\tLoss_G: {line['g_loss']:.4f}",
                file=file,
            )


def write_bar(path: Path, lines: list[Line]) -> None:
    """Let tqdm draw one bar."""
    with path.open("w") as file, tqdm(desc="train", total=int(lines[-1]["step"]), file=file) as bar:
        for line in lines:
            bar.set_postfix(d_loss=line["d_loss"], g_loss=line["g_loss"], refresh=False)
            bar.n = int(line["step"])
            bar.refresh()


def write_events(folder: Path, lines: list[Line]) -> None:
    """Log by tf.summary."""
    with tf.summary.create_file_writer(str(folder)).as_default():
        for line in lines:
            step = int(line["step"])
            tf.summary.scalar("loss/discriminator", line["d_loss"], step)
            tf.summary.scalar("loss/generator", line["g_loss"], step)
            tf.summary.scalar("accuracy/real", line["real_accuracy"], step)
            tf.summary.scalar("accuracy/fake", line["fake_accuracy"], step)


if __name__ == "__main__":
    main()
