"""The only training loop: one compiled step for both networks, and what surrounds it."""

import math
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tqdm import tqdm

from training import dataset
from training.config import BadConfig, Config
from training.dataset import Dataset
from training.feed import Feed
from training.models import Networks, to_pixels
from training.presets import DEFAULT, configure
from training.run import Run
from training.step import Metrics, Step
from training.trouble import Trouble

SAMPLES = 60
LOG_EVERY = 10  # steps between two lines of metrics.jsonl


class Diverged(Trouble):
    """A loss is no longer a number; the last checkpoint is from before."""


def start(data: Path, folder: Path, preset: str = DEFAULT, **changes: object) -> Run:
    """Train a preset, with some fields changed, until config.images real cards were shown.

    Ctrl-C or SIGTERM ends it with a checkpoint. Raises BadConfig, BadDataset, BadRun or Diverged.
    """
    cards = dataset.load(data)
    config = fitted(configure(preset, *cards.size, **changes), cards, "batch" in changes)
    cards.refuse_batch(config.batch)
    run = Run.create(folder, config, data, cards.fingerprint)
    train(config, run, cards)
    return run


def resume(data: Path, folder: Path, images: int | None = None) -> Run:
    """Go on with a run as if it had never stopped; `images` moves its end.

    Raises BadRun if there is no run in the folder or the data are not those it was started on, BadConfig
    if the end would lie behind it.
    """
    cards = dataset.load(data)
    run = Run.open(folder)
    run.refuse_other_data(cards)
    if images is not None:
        seen = max(run.checkpoints.steps(), default=0) * run.config.batch
        if images < seen:
            raise BadConfig(f"The run has seen {seen:,} images; --images {images:,} would end before that.")
        run.save_config(replace(run.config, images=images))
    train(run.config, run, cards)
    return run


def train(config: Config, run: Run, cards: Dataset) -> None:
    """Train from the run's newest checkpoint, or from the start."""
    networks = Networks.build(config)
    step = Step(config, networks)
    state = networks.parts() | step.optimizers()
    first = run.checkpoints.load(**state)
    run.forget_after(first)
    loop(config, run, networks, cards, step, run.checkpoints.saver(**state), first)


def fitted(config: Config, cards: Dataset, batch_given: bool) -> Config:
    """Fill in what follows from the number of cards where it was left open.

    Small folders need augmentation, and cannot fill a large batch.
    """
    if config.augment is None:
        config = replace(config, augment=0.3 if len(cards.train) < 2000 else 0.0)
    if not batch_given:
        config = replace(config, batch=min(config.batch, len(cards.train)))
    return config


def loop(
    config: Config,
    run: Run,
    networks: Networks,
    cards: Dataset,
    step: Step,
    save: Callable[[int], None],
    first: int,
) -> None:
    """Run the steps from `first` on, with log, samples, checkpoints and a clean end."""
    last = math.ceil(config.images / config.batch)
    noise = tf.random.stateless_normal((SAMPLES, config.noise_size), [config.seed, 1])
    bar = tqdm(total=last * config.batch, initial=first * config.batch, unit="img", desc=config.preset)
    started = time.monotonic()
    with stopping() as stopped, bar, Feed(cards, config.batch, config.seed, first) as feed:
        for index in range(first, last):
            metrics = step(tf.constant(next(feed).cards), tf.constant(index, tf.int64))
            seen = (index + 1) * config.batch
            bar.update(config.batch)
            if index % LOG_EVERY == 0 or index + 1 == last:
                values = finite(metrics, seen)
                seconds = time.monotonic() - started
                speed = {
                    "images_per_second": round((index + 1 - first) * config.batch / seconds, 2),
                    "input_wait": round(feed.waited / seconds, 4),
                }
                run.log({"step": index + 1, "images": seen} | values | speed)
                bar.set_postfix_str(summary(values))
            stop = stopped()
            if due(seen, config.checkpoint_every, config.batch) or index + 1 == last or stop:
                finite(metrics, seen)
                save(index + 1)
            if due(seen, config.sample_every, config.batch) or index + 1 == last:
                run.save_sample(seen, draw(networks.average, noise))
            if stop:
                tqdm.write(f"Stopped at {seen:,} images with a checkpoint. Go on: --resume")
                return


def due(seen: int, every: int, batch: int) -> bool:
    """Tell whether the last batch passed a multiple of `every` images."""
    return seen // every != (seen - batch) // every


def finite(metrics: Metrics, seen: int) -> dict[str, float]:
    """Return the metrics as numbers; raise Diverged if one is none."""
    values = {name: float(value) for name, value in metrics.items()}
    broken = [name for name, value in values.items() if not math.isfinite(value)]
    if broken:
        raise Diverged(
            f"{', '.join(broken)} stopped being a number by image {seen:,}. The last checkpoint is from "
            "before: resume from it, and if it happens again start a run with half the learning rate."
        )
    return values


def summary(values: dict[str, float]) -> str:
    """Say in one line how the game stands."""
    return (
        f"D {values['d_loss']:.3f} G {values['g_loss']:.2f} "
        f"right real {values['real_accuracy']:.2f} fake {values['fake_accuracy']:.2f} "
        f"relativistic {values['relativistic_accuracy']:.2f}"
    )


def draw(generator: keras.Model, noise: tf.Tensor) -> NDArray[np.uint8]:
    """Draw cards (n, height, width, 3) as the exported model will."""
    return to_pixels(generator(noise, training=False)).numpy()


@contextmanager
def stopping() -> Iterator[Callable[[], bool]]:
    """Turn Ctrl-C and SIGTERM into a question that the loop asks after each step.

    A second Ctrl-C is not caught: it ends the program at once.
    """
    received: list[int] = []

    def note(number: int, frame: object) -> None:
        received.append(number)
        signal.signal(signal.SIGINT, previous[signal.SIGINT])

    previous = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
