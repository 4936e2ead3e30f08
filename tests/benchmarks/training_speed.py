"""Times the posted loop, our loop on the posted networks, and the presets, side by side in one run.

python -m tests.benchmarks.training_speed DATA [--rounds 5] [--seconds 6] [--batch 64]

DATA is a prepared dataset of 64x64. Each contender lives in a process of its own and trains for a few seconds
in turn, round after round, so that all of them see the same drift of the machine. Prints a table in Markdown:
medians, and the ratio to the posted loop round by round.
"""

import argparse
import itertools
import multiprocessing
import os
import re
import statistics
import time
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple

POSTED = "posted loop, posted networks"
OURS = "our loop, posted networks"
PRESETS: dict[str, tuple[str, dict[str, Any]]] = {
    OURS: ("seed", {}),
    "dcgan-r1, float32": ("dcgan-r1", {"precision": "float32"}),
    "nano, float32": ("nano", {"precision": "float32"}),
    "nano": ("nano", {}),
    "tiny": ("tiny", {}),
    "r3": ("r3", {}),
}
MATRIX = 2048


class Turn(NamedTuple):
    """What a contender did in one turn."""

    images: int
    seconds: float
    waited: float  # for its cards


class Contender(NamedTuple):
    """A process that trains when it is told to."""

    process: BaseProcess
    line: Any  # a connection

    def train(self, seconds: float) -> Turn:
        self.line.send(seconds)
        return self.line.recv()

    def stop(self) -> tuple[float, float]:
        """End it; return its peak memory in MB and the GFLOP it spends on one image."""
        self.line.send(None)
        said = self.line.recv()
        self.process.join()
        return said


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--batch", type=int, default=64)
    options = parser.parse_args()
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # as `holofoil train` does
    names = [POSTED, *PRESETS]
    contenders = {name: start(name, options.data, options.batch) for name in names}
    products = start("matrix product", options.data, options.batch)
    turns: dict[str, list[Turn]] = {name: [] for name in names}
    rates: list[float] = []
    for _ in range(options.rounds):
        rates.append(rate(products.train(options.seconds / 3)))
        for name, contender in contenders.items():
            turns[name].append(contender.train(options.seconds))
    products.stop()
    report(turns, {name: contender.stop() for name, contender in contenders.items()}, rates)


def rate(turn: Turn) -> float:
    """Return images, or matrix products, a second."""
    return turn.images / turn.seconds


def report(turns: dict[str, list[Turn]], ends: dict[str, tuple[float, float]], products: list[float]) -> None:
    """Print the table: medians over the rounds, ratios round by round."""
    peak = statistics.median(products) * 2 * MATRIX**3 / 1e9
    print(f"\nMatrix product {MATRIX}³, float32: {peak:.0f} GFLOP/s.\n")
    print("| contender | images/s | of posted | peak MB | input wait | GFLOP/image | GFLOP/s | of it |")
    print("|---|---|---|---|---|---|---|---|")
    for name, rounds in turns.items():
        memory, work = ends[name]
        speed = statistics.median(map(rate, rounds))
        ratio = statistics.median(rate(a) / rate(b) for a, b in zip(rounds, turns[POSTED], strict=True))
        wait = sum(turn.waited for turn in rounds) / sum(turn.seconds for turn in rounds)
        print(
            f"| {name} | {speed:.1f} | {ratio:.2f} | {memory:,.0f} | {wait:.2%} | {work:.2f} "
            f"| {speed * work:.0f} | {speed * work / peak:.0%} |"
        )


def start(name: str, data: Path, batch: int) -> Contender:
    """Start a contender and wait until its step is compiled."""
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(target=contend, args=(name, data, batch, theirs))
    process.start()
    ours.recv()
    return Contender(process, ours)


def contend(name: str, data: Path, batch: int, line: Any) -> None:
    """Train whenever told for how long; answer with what was done."""
    makers = {POSTED: posted_loop, "matrix product": matrix_products}
    train, work = makers.get(name, our_loop)(name, data, batch)
    train(0)
    train(0)
    line.send("ready")
    while (seconds := line.recv()) is not None:
        line.send(train(seconds))
    # Not getrusage: a child begins with the peak of the process that forked it.
    (peak,) = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    line.send((int(peak) / 1024, work))


Train = Callable[[float], Turn]


def repeated(steps: Iterator[tuple[int, float]]) -> Train:
    """Turn an iterator of (images, seconds waited) steps into something that runs for a while."""

    def train(seconds: float) -> Turn:
        started, images, waited = time.monotonic(), 0, 0.0
        while not images or time.monotonic() - started < seconds:
            seen, wait = next(steps)
            images, waited = images + seen, waited + wait
        return Turn(images, time.monotonic() - started, waited)

    return train


def posted_loop(_: str, data: Path, batch: int) -> tuple[Train, float]:
    """The question's loop on its networks: predict, one mixed train_on_batch, then the stacked model's.

    The flag is set around each step, so that Keras 3 trains the discriminator as Keras 2 did.
    """
    import keras
    import numpy as np

    from training import dataset, models
    from training.presets import configure

    cards = dataset.load(data)
    config = configure("seed", 64, 64)
    generator, critic = models.generator(config), models.discriminator(config)
    discriminator = keras.Sequential([critic, keras.layers.Activation("sigmoid")])
    adam: Any = {"learning_rate": 2e-4, "beta_1": 0.5}
    quiet: Any = {"verbose": 0}
    options: Any = {"loss": "binary_crossentropy", "jit_compile": False}
    discriminator.compile(optimizer=keras.optimizers.Adam(**adam), metrics=["accuracy"], **options)
    gan = keras.Sequential([generator, discriminator])
    gan.compile(optimizer=keras.optimizers.Adam(**adam), **options)
    rng = np.random.default_rng(0)

    def steps() -> Iterator[tuple[int, float]]:
        labels = np.concatenate([np.ones((batch, 1)), np.zeros((batch, 1))])
        while True:
            fakes = generator.predict(rng.normal(size=(batch, 100)), **quiet)
            began = time.monotonic()
            rows = rng.choice(cards.train, batch)
            reals = cards.cards[np.sort(rows)].astype(np.float32) / 127.5 - 1
            waited = time.monotonic() - began
            discriminator.trainable = True
            discriminator.train_on_batch(np.concatenate([reals, fakes]), labels)
            discriminator.trainable = False
            gan.train_on_batch(rng.normal(size=(batch, 100)), np.ones((batch, 1)))
            yield batch, waited

    return repeated(steps()), work_of("seed", batch)


def work_of(preset: str, batch: int) -> float:
    """Return the GFLOP that training spends on one image."""
    from training.cost import cost
    from training.presets import configure

    return cost(configure(preset, 64, 64, batch=batch)).gflop_per_image


def our_loop(name: str, data: Path, batch: int) -> tuple[Train, float]:
    """The project's step, fed as a run feeds it."""
    from training import dataset
    from training.feed import Feed
    from training.models import Networks
    from training.presets import configure
    from training.step import Step
    from training.train import fitted

    cards = dataset.load(data)
    preset, changes = PRESETS[name]
    config = configure(preset, *cards.size, **{"batch": batch, "augment": 0.0, **changes})
    config = fitted(config, cards, batch_given=True)
    step = Step(config, Networks.build(config))

    def steps() -> Iterator[tuple[int, float]]:
        with Feed(cards, batch, config.seed) as feed:
            for index in itertools.count():
                before = feed.waited
                metrics = step(*feed.take(1), index)
                float(metrics["d_loss"])
                yield batch, feed.waited - before

    return repeated(steps()), work_of(preset, batch)


def matrix_products(_: str, __: Path, ___: int) -> tuple[Train, float]:
    """Multiply large float32 matrices: what the machine can do at the most."""
    import tensorflow as tf

    a = tf.random.normal((MATRIX, MATRIX))

    def steps() -> Iterator[tuple[int, float]]:
        while True:
            tf.matmul(a, a)[0, 0].numpy()  # the whole would come back from a GPU
            yield 1, 0.0

    return repeated(steps()), 0.0


if __name__ == "__main__":
    main()
