"""Starting a run, going on with one, and going back when its numbers break."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import tensorflow as tf
from tqdm import tqdm

from training import dataset, devices
from training.config import BadConfig, Config
from training.cost import announce, calibrate, pace
from training.dataset import Dataset
from training.feed import Feed
from training.loop import Judge, Loop
from training.models import Networks
from training.presets import AUTO, configure, suiting
from training.report import report
from training.run import SETBACKS, GoBack, Run, Source, refuse_taken
from training.step import Step
from training.transfer import Weights, weights_of
from training.trouble import Trouble

FEW = 2000  # cards that are learnt by heart sooner than a controller moves

JudgeOf = Callable[[Dataset], Judge]


class GaveUp(Trouble):
    """The numbers broke again and again; the last good checkpoint is kept."""


def start(
    data: Path,
    folder: Path,
    preset: str = AUTO,
    *,
    labels: dataset.Labels = "none",
    hours: float | None = None,
    origin: Path | None = None,
    judge_of: JudgeOf | None = None,
    **changes: object,
) -> Run:
    """Train a preset, with some fields changed, until config.images real cards were shown.

    With `hours`, a few steps on networks of their own tell how many images these are. With `origin`, a run or
    a model store, it starts from trained weights. Ctrl-C or SIGTERM ends it with a checkpoint. Raises
    BadConfig, BadDataset, BadOrigin, BadRun or GaveUp.
    """
    strategy = devices.strategy()
    writes = devices.is_chief(strategy)
    if writes:
        refuse_taken(folder)  # before minutes of work for it
    cards, config = configured(data, preset, labels, hours, changes, strategy)
    devices.refuse_uneven(config, strategy.num_replicas_in_sync)
    weights = beginning(origin, config)
    if weights and weights.whole:
        config = replace(config, average_ramp=False)
    judge = ready(config, cards, judge_of, writes)  # before there is a folder that would be in the way
    run = Run.create(folder, config, Source.of(data, cards), writes)
    with run.held():
        train(config, run, cards, strategy, judge, weights)
    return run


def ready(config: Config, cards: Dataset, judge_of: JudgeOf | None, writes: bool) -> Judge | None:
    """Say what the run takes; return its judge. Of several hosts one does both."""
    if not writes:
        return None
    tqdm.write(announce(config, cards))
    return judge_of(cards) if judge_of and config.evaluate_every else None


def rehearse(
    data: Path,
    folder: Path,
    preset: str = AUTO,
    *,
    labels: dataset.Labels = "none",
    hours: float | None = None,
    origin: Path | None = None,
    **changes: object,
) -> str:
    """Say what a run would take, its time by a few steps of networks that are thrown away.

    What start would refuse is refused here too.
    """
    refuse_taken(folder)
    strategy = devices.strategy()
    cards, config = configured(data, preset, labels, hours, changes, strategy)
    beginning(origin, config)
    rate = speed(config, cards, strategy) if hours is None else config.images / 3600 / hours
    return f"{announce(config, cards)}\n{pace(config, 0, rate)}"


def beginning(origin: Path | None, config: Config) -> Weights | None:
    """Return the weights to start from, if any are named. Raises BadConfig or BadOrigin."""
    if config.frozen and not origin:
        raise BadConfig("--freeze keeps layers that were trained: say where they come from with --from.")
    return weights_of(origin, config) if origin else None


def configured(
    data: Path,
    preset: str,
    labels: dataset.Labels,
    hours: float | None,
    changes: dict[str, object],
    strategy: tf.distribute.Strategy,
) -> tuple[Dataset, Config]:
    """Return the cards and the configuration of a new run. Raises BadConfig or BadDataset."""
    cards = dataset.load(data, labels)
    name = suiting(devices.accelerated(), hours) if preset == AUTO else preset
    config = configure(name, *cards.size, classes=cards.classes, **changes)
    config = fitted(config, cards, "batch" in changes)
    cards.refuse_batch(config.batch)
    if hours is None:
        return cards, config
    if not 0 < hours < math.inf or "images" in changes:
        raise BadConfig("Say either for how many --hours to train, above 0, or how many --images to show.")
    if devices.hosts() > 1:
        raise BadConfig("Each host would measure another speed and end elsewhere: say --images, not --hours.")
    images = int(speed(config, cards, strategy) * 3600 * hours)
    return cards, replace(config, images=max(config.batch, images))


def speed(config: Config, cards: Dataset, strategy: tf.distribute.Strategy) -> float:
    """Return the images/s that these devices train with, by a few steps of networks that are thrown away."""
    with strategy.scope():
        step = Step(config, Networks.build(config))
    with Feed(cards, config.batch, config.seed) as feed:
        batch = feed.take(1)
    return calibrate(lambda index: step(*batch, index), config.batch)


def resume(
    data: Path, folder: Path, images: int | None = None, judge_of: JudgeOf | None = None, **attended: object
) -> Run:
    """Go on with a run as if it had never stopped.

    `images` moves its end, and a falling learning rate with it. `attended` may change what the doctor does,
    by "doctor" and "without". Raises BadRun if there is no run in the folder, the data are not those it was
    started on or config.json was changed, BadConfig if the end would lie behind its newest whole checkpoint.
    """
    strategy = devices.strategy()
    run = Run.open(folder, writes=devices.is_chief(strategy))
    config = run.config
    cards = dataset.load(data, "folders" if config.classes else "none")
    run.refuse_other_data(cards)
    with run.held():
        run.save_data(Source.of(data, cards))  # which may have been moved
        config = replace(config, **attended, images=config.images if images is None else images)
        train(config, run, cards, strategy, ready(config, cards, judge_of, run.writes))
    return run


def train(
    config: Config,
    run: Run,
    cards: Dataset,
    strategy: tf.distribute.Strategy,
    judge: Judge | None = None,
    weights: Weights | None = None,
) -> None:
    """Train from the run's newest checkpoint, or from the start.

    Where a number breaks, or the doctor says so, go back to the last checkpoint and on with half the learning
    rate: with the old one the same steps would break it again. Every host counts the setbacks alike; the run
    remembers them.
    """
    setbacks = run.setbacks
    while True:
        with strategy.scope():
            loop = Loop(config, run, cards, judge, weights, 0.5 ** len(setbacks))
        try:
            return loop.go()
        except GoBack as trouble:
            told, setback = str(trouble), trouble.setback
        finally:
            report.refresh(run)
        del loop  # its networks, before others are built
        if len(setbacks) == SETBACKS or "roll-back" in config.without:
            kept = f"Export the last good checkpoint in {run.checkpoints.folder}, or start"
            raise GaveUp(
                f"{told}, after {len(setbacks)} returns to a checkpoint, each with half the learning rate. "
                f"{kept if run.checkpoints.steps() else 'Start'} a new run with a lower learning rate or a "
                "higher R1."
            )
        setbacks = [*setbacks, setback]
        run.save_setbacks(setbacks)
        tqdm.write(
            f"{told}. Going back to the last checkpoint and on with half the learning rate "
            f"(time {len(setbacks)} of {SETBACKS}): the same steps at the old one would break it again."
        )


def fitted(config: Config, cards: Dataset, batch_given: bool) -> Config:
    """Fill in what follows from the number of cards and the device where it was left open.

    Small folders need augmentation from the start, and cannot fill a large batch. Where the device multiplies
    bfloat16 convolutions are faster in it. A GPU would wait for Python after every step.
    """
    if config.augment is None:
        config = replace(config, augment="adaptive")
    if config.augment_from is None:
        config = replace(config, augment_from=0.3 if len(cards.train) < FEW else 0.0)
    if not batch_given:
        config = config.with_batch(min(config.batch, len(cards.train)))
    if config.precision is None:
        config = replace(config, precision="bfloat16" if devices.multiplies_bfloat16() else "float32")
    if config.steps_per_call is None:
        config = replace(config, steps_per_call=10 if devices.accelerated() else 1)
    return config
