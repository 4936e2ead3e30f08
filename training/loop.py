"""The only training loop: steps in blocks, and between them whatever is due."""

import math
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import get_args

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tqdm import tqdm

from training import devices
from training.board import Board
from training.checkpoints import Progress
from training.checkup import LOOKED_AT, Checkup
from training.config import BadConfig, Config, TreatmentName
from training.controller import next_probability
from training.cost import pace
from training.dataset import Dataset
from training.doctor.bedside import Bedside
from training.feed import Feed
from training.models import Networks, draw
from training.report import report
from training.run import GoBack, Run, Setback
from training.schedule import due, next_due, slowed, steps_of
from training.steering import Steering
from training.step import METRICS, Metrics, Step
from training.transfer import Weights
from training.vitals import Movement

SAMPLES = 60  # cards in a grid
JUDGED = 500  # generated cards in an evaluation
CHUNK = 50  # of them drawn at a time
STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LOG_EVERY = 10  # steps between two lines of metrics.jsonl

Judge = Callable[[NDArray[np.uint8]], dict[str, float]]
"""Measures generated cards (n, height, width, 3); of its numbers "kid" and "coverage" name the best."""


class Diverged(GoBack):
    """A loss or a weight is no longer a number; the last checkpoint is from before."""

    def __init__(self, images: int, broken: str) -> None:
        super().__init__(f"{broken} stopped being a number by image {images:,}", Setback(images, broken))


class Loop:
    """A run in memory. Make it inside a strategy's scope."""

    def __init__(
        self,
        config: Config,
        run: Run,
        cards: Dataset,
        judge: Judge | None = None,
        weights: Weights | None = None,
        pace: float = 1.0,
    ) -> None:
        """Load the run's newest checkpoint; without one, start from `weights` or, if None, from random ones.

        `pace` is a factor of the learning rate.
        """
        self.config, self.run, self.cards, self.judge = config, run, cards, judge
        self.networks = Networks.build(config)
        self.step = Step(slowed(config, pace), self.networks)
        self.steering = Steering(config, self.networks, cards)
        self.state = self.networks.parts() | self.step.parts()
        self.last = steps_of(config)
        self.steps_per_call = config.steps_per_call or 1
        log_every = max(LOG_EVERY, self.steps_per_call)  # steps
        examined = config.examine_every if config.doctor != "off" else 0
        self.calendar = {
            "log": log_every * config.batch,
            "steer": config.steer_every if config.augment == "adaptive" else examined,
            "examine": examined,
            "evaluate": config.evaluate_every,  # on every host, so that all take blocks of one length
            "checkpoint": config.checkpoint_every,
            "sample": config.sample_every,
        }
        self.progress = self.begin(weights)
        self.board = Board(run)
        self.moved = Movement(self.networks)
        self.examination: Checkup | None = None  # made when it is first due
        # Of several hosts one examines pictures, and all must stay alike: there the doctor only watches.
        tended = config if devices.hosts() <= 1 else replace(config, without=get_args(TreatmentName))
        self.bedside = Bedside(tended, run, len(cards.train), len(cards.holdout))
        self.stopped = False
        self.saved = time.monotonic()
        self.pace_step = (self.progress.step // log_every + 2) * log_every
        """The logged step after which the pace is told: the first steps compile."""

    def begin(self, weights: Weights | None) -> Progress:
        """Load the newest checkpoint, or make the first one of the weights that were given.

        Raises BadConfig where the end lies behind it, BadRun where it was trained otherwise.
        """
        progress = self.run.checkpoints.load(**self.state)
        if progress is None:
            self.run.begin_anew()
            progress = Progress.at_start(self.config)
            if weights is not None:
                weights.give(self.networks)
                self.run.save_checkpoint(progress, self.state)
        self.run.refuse_other_config(self.config, progress)
        if progress.step > self.last:
            seen = progress.step * self.config.batch
            raise BadConfig(
                f"The run has seen {seen:,} images already and cannot end at {self.config.images:,}. Let it "
                f"end later: --images {2 * seen}"
            )
        self.run.save_config(self.config)  # of whose end and doctor a resumed run may think otherwise
        self.run.forget_after(progress.step)
        return replace(progress, config=self.config)

    def go(self) -> None:
        """Take the steps that are left; a signal of STOPS ends them with a checkpoint. Raises Diverged."""
        config, first = self.config, self.progress.step
        if first >= self.last and self.run.writes:
            tqdm.write(
                f"{self.run.folder} is over: it has shown {self.images:,} images. To go on, let it end "
                f"later: --resume --images {2 * self.images}"
            )
        bar = tqdm(
            desc=config.preset,
            total=self.last * config.batch,
            initial=first * config.batch,
            unit="img",
            disable=not self.run.writes,
        )
        with stopping() as stopped, bar, Feed(self.cards, config.batch, config.seed, first) as feed:
            window = Window(feed)
            while (before := self.progress.step) < self.last:
                steps = self.block()
                progress = self.progress
                metrics = self.step(*feed.take(steps), before, progress.probability, progress.strength)
                window.add(metrics, steps)
                self.progress = replace(self.progress, step=before + steps)
                bar.update(steps * config.batch)
                stop = stopped()
                if passed := self.passed(before, stop):
                    line = window.line(config.batch)
                    self.tell_pace(before, line)
                    self.attend(passed, line)
                    bar.set_postfix_str(f"{summary(line)} {self.bedside.doctor.status()}")
                    window = Window(feed)
                if self.stopped:
                    return
                if stop:
                    tqdm.write(f"Stopped at {self.images:,} images with a checkpoint.")
                    if self.run.writes:
                        tqdm.write(f"Go on: {self.run.to_go_on}")
                    return
        if self.run.writes:
            tqdm.write(self.run.to_use)

    def tell_pace(self, before: int, line: dict[str, float]) -> None:
        """Say once how long the rest will take, and what to do if that is too long."""
        if self.run.writes and before < self.pace_step <= self.progress.step:
            tqdm.write(pace(self.config, self.images, line["images_per_second"]))

    @property
    def images(self) -> int:
        """Real cards shown so far."""
        return self.progress.step * self.config.batch

    def block(self) -> int:
        """Return how many steps to take in one call: no further than to where something is due."""
        step = self.progress.step
        ends = [next_due(step, every, self.config.batch) for every in self.calendar.values() if every]
        return min(self.steps_per_call, min(ends) - step, self.last - step)

    def passed(self, before: int, stop: bool) -> set[str]:
        """Return what the last block's steps made due."""
        step, batch = self.progress.step, self.config.batch
        passed = {name for name, every in self.calendar.items() if due(step, before, every, batch)}
        if step == self.last:  # all but to steer: a run whose end is moved steers when the unbroken one does
            passed |= {name for name, every in self.calendar.items() if every and name != "steer"}
        if "log" in passed and self.unsaved_too_long():
            passed.add("checkpoint")
        return passed | ({"log"} if before == 0 else set()) | ({"checkpoint"} if stop else set())

    def unsaved_too_long(self) -> bool:
        """Whether a crash would cost too much time. Several hosts have several clocks and go by images."""
        minutes = (time.monotonic() - self.saved) / 60
        return devices.hosts() <= 1 and minutes >= self.config.checkpoint_minutes

    def attend(self, passed: set[str], line: dict[str, float]) -> None:
        """Do what is due, log it, and have the doctor hear it. Raises GoBack."""
        line = {"step": self.progress.step, "images": self.images} | line
        self.refuse_broken(line)
        if "steer" in passed:
            line |= self.steer()
        if "log" in passed:
            line |= self.moved()
        if "examine" in passed and self.run.writes:
            line |= self.examine()
        if "evaluate" in passed and self.judge:
            line |= self.evaluate()
        self.run.log(line)
        self.board.add(line)
        self.listen(line)
        if "checkpoint" in passed or self.stopped or self.progress.best_step == self.progress.step:
            self.refuse_broken_weights()
            self.run.save_checkpoint(self.progress, self.state)
            self.saved = time.monotonic()
        if "sample" in passed:
            noise = tf.random.stateless_normal((SAMPLES, self.config.noise_size), [self.config.seed, 1])
            self.run.save_sample(self.images, self.draw(noise))
        if "evaluate" in passed and self.progress.step < self.last:
            report.refresh(self.run)

    def steer(self) -> dict[str, float]:
        """Look at what the discriminator knows by heart, and move the probability of augmentation by it."""
        probability = self.progress.probability
        looked = self.steering.look(self.progress.step, probability)
        if self.config.augment == "adaptive":
            between = max(self.config.steer_every, self.config.batch)
            probability = next_probability(probability, looked["r_v"], between)
            self.progress = replace(self.progress, probability=probability)
        return looked | {"augment": probability}

    def examine(self) -> dict[str, float]:
        """Have the averaged generator's cards looked at, always of the same noise."""
        if self.examination is None:
            self.examination = Checkup.of(self.cards)
        noise = tf.random.stateless_normal((LOOKED_AT, self.config.noise_size), [self.config.seed, 4])
        return self.examination(self.draw(noise))

    def listen(self, line: dict[str, float]) -> None:
        """Tell the doctor, and do as it says. Raises GoBack."""
        if self.config.doctor != "off":
            self.progress, self.stopped = self.bedside.hear(line, self.progress)

    def evaluate(self) -> dict[str, float]:
        """Have the averaged generator's cards judged, always of the same noise; remember the best."""
        assert self.judge
        noise = tf.random.stateless_normal((JUDGED, self.config.noise_size), [self.config.seed, 3])
        random = np.random.default_rng(self.config.seed)
        labels = random.choice(self.cards.labels[self.cards.train], JUDGED)  # kinds as often as in training
        parts = zip(tf.split(noise, JUDGED // CHUNK), tf.split(labels, JUDGED // CHUNK), strict=True)
        fakes = np.concatenate([draw(self.networks.average, *part) for part in parts])
        findings = self.judge(fakes)
        self.progress = self.progress.judged(findings["kid"], findings["coverage"])
        return findings

    def draw(self, noise: tf.Tensor) -> NDArray[np.uint8]:
        """Draw cards (n, height, width, 3) with the averaged generator, of each kind in turn."""
        return draw(self.networks.average, noise, tf.range(len(noise)) % max(1, len(self.config.classes)))

    def refuse_broken(self, line: dict[str, float]) -> None:
        """Raise Diverged if a metric is no number, and have the doctor know."""
        broken = [name for name, value in line.items() if not math.isfinite(value)]
        if broken:
            self.listen(line)
            raise Diverged(self.images, ", ".join(broken))

    def refuse_broken_weights(self) -> None:
        """Raise Diverged if a weight is no number, though the losses before it were."""
        for name, network in self.networks.parts().items():
            if not all(np.isfinite(weight).all() for weight in network.get_weights()):
                raise Diverged(self.images, f"the weights of the {name}")


class Window:
    """The steps since the last line of the log: their metrics, their pace and the wait for cards.

    Metrics are added up where they were computed, so that Python waits for no step but the last.
    """

    def __init__(self, feed: Feed) -> None:
        self.feed = feed
        self.waited, self.started = feed.waited, time.perf_counter()
        self.steps = 0
        self.total: Metrics = dict.fromkeys(METRICS, tf.constant(0.0))

    def add(self, metrics: Metrics, steps: int) -> None:
        """Count a block of steps, given their mean metrics."""
        self.steps += steps
        self.total = {name: self.total[name] + steps * metrics[name] for name in METRICS}

    def line(self, batch: int) -> dict[str, float]:
        """Return what to log."""
        means = {name: float(total) / self.steps for name, total in self.total.items()}
        seconds = time.perf_counter() - self.started
        return means | {
            "images_per_second": round(self.steps * batch / seconds, 2),
            "input_wait": round((self.feed.waited - self.waited) / seconds, 4),  # share of the time
        }


def summary(line: dict[str, float]) -> str:
    """Say in one line how the game stands."""
    return (
        f"D {line['d_loss']:.3f} G {line['g_loss']:.2f} "
        f"right real {line['real_accuracy']:.2f} fake {line['fake_accuracy']:.2f} "
        f"relativistic {line['relativistic_accuracy']:.2f}"
    )


@contextmanager
def stopping() -> Iterator[Callable[[], bool]]:
    """Turn Ctrl-C, SIGTERM and a closed terminal into a question that the loop asks after each block.

    A second Ctrl-C is not caught: it ends the program at once. What is ignored, as under nohup, stays so.
    """
    received: list[int] = []

    def note(number: int, frame: object) -> None:
        received.append(number)
        if signal.SIGINT in previous:
            signal.signal(signal.SIGINT, previous[signal.SIGINT])

    asked = [number for number in STOPS if signal.getsignal(number) is not signal.SIG_IGN]
    previous = {number: signal.signal(number, note) for number in asked}
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
