"""A trial: one recipe trained for some processor time, and what came of it."""

import itertools
import json
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from training.config import Config
from training.dataset import Dataset
from training.doctor.repairs import Recipe
from training.feed import Feed
from training.judge import Judge
from training.models import Networks, draw
from training.run import grid, replace_png, replace_text
from training.step import Step

CURVES = ("d_loss", "g_loss", "real_accuracy", "fake_accuracy")
COMPILING = 2  # first steps, whose time is not counted
CHUNK = 50  # cards drawn at a time
SHOWN, COLUMNS = 16, 8  # cards to look at
TRIAL, CARDS = "trial.json", "cards.png"
BAR = "{desc}: {percentage:3.0f}% of {total_fmt} seconds of processor time, {elapsed} by the clock"


@dataclass(frozen=True)
class Trial:
    """What came of one recipe."""

    name: str
    does: str
    batch: int
    kid: float
    """x1000, between generated and training cards."""
    curves: dict[str, list[float]]
    """Of each of CURVES, one number a step."""
    cards: NDArray[np.uint8]
    """Generated ones, none chosen, laid out as one picture (height, width, 3)."""

    @property
    def images(self) -> int:
        """Real cards shown."""
        return len(self.curves["d_loss"]) * self.batch

    def at_the_end(self, curve: str) -> float:
        """Return a curve's mean over the last tenth of the steps."""
        values = self.curves[curve]
        return mean(values[-math.ceil(len(values) / 10) :])


def trial(recipe: Recipe, cards: Dataset, judge: Judge, seconds: float, folder: Path) -> Trial:
    """Train a recipe for so many seconds of processor time, unless the folder holds that very trial."""
    asked = asked_for(recipe, cards, seconds)
    if found := recorded(recipe, asked, folder):
        return found
    networks = Networks.build(recipe.config)
    curves = trained(recipe, networks, cards, seconds)
    drawn = generated(recipe.config, networks, max(judge.count, SHOWN))
    made = Trial(
        recipe.name,
        recipe.does,
        recipe.config.batch,
        judge(drawn)["kid"],
        curves,
        grid(drawn[:SHOWN], gap=0, columns=COLUMNS),
    )
    folder.mkdir(parents=True, exist_ok=True)
    replace_png(folder / CARDS, made.cards)
    # Written last: with it the trial is done.
    replace_text(folder / TRIAL, json.dumps({"asked": asked, "kid": made.kid, "curves": curves}))
    return made


def asked_for(recipe: Recipe, cards: Dataset, seconds: float) -> dict[str, Any]:
    """Return, as JSON would give it back, all that decides what comes of a trial."""
    asked = {
        "config": asdict(recipe.config),
        "scaled": recipe.scaled,
        "cards": cards.fingerprint,
        "seconds": seconds,
    }
    return json.loads(json.dumps(asked))


def recorded(recipe: Recipe, asked: dict[str, Any], folder: Path) -> Trial | None:
    """Read a trial from its folder; None where there is none, another one, or a damaged one."""
    try:
        found = json.loads((folder / TRIAL).read_text())
        if found["asked"] != asked:
            return None
        with Image.open(folder / CARDS) as picture:
            seen = np.asarray(picture)
        return Trial(recipe.name, recipe.does, recipe.config.batch, found["kid"], found["curves"], seen)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def trained(recipe: Recipe, networks: Networks, cards: Dataset, seconds: float) -> dict[str, list[float]]:
    """Train networks until the processor time of all threads is spent; return CURVES."""
    config, spent = recipe.config, 0.0
    step = Step(config, networks)
    curves: dict[str, list[float]] = {name: [] for name in CURVES}
    bar = tqdm(desc=recipe.name, total=round(seconds), unit="s", bar_format=BAR)
    with bar, Feed(cards, config.batch, config.seed) as feed:
        for index in itertools.count():
            real, labels = feed.take(1)
            began = time.process_time()
            real = real if recipe.scaled else left_unscaled(real)
            metrics = step(real, labels, index, float(config.augment or 0))
            for name in CURVES:
                curves[name].append(float(metrics[name]))
            spent += time.process_time() - began if index >= COMPILING else 0.0
            bar.update(min(spent, seconds) - bar.n)
            if spent >= seconds:
                break
    return curves


def left_unscaled(cards: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return uint8 cards that the step scales to [0, 1] where it scales others to [-1, 1]."""
    return 128 + cards // 2


def generated(config: Config, networks: Networks, count: int) -> NDArray[np.uint8]:
    """Draw so many cards (count, height, width, 3), always of the same noise."""
    noise = tf.random.stateless_normal((count, config.noise_size), [config.seed, 1]).numpy()
    parts = np.array_split(noise, math.ceil(count / CHUNK))
    return np.concatenate([draw(networks.average, part, tf.zeros(len(part), tf.int32)) for part in parts])
