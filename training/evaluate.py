"""How good a run's generator is, measured against training cards, held-out cards, and real against real."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tqdm import tqdm

from training import features
from training.config import Config
from training.dataset import Dataset
from training.export import cards_of
from training.features import Cards, Features
from training.inception import Embed, inception, weights_file
from training.metrics import (
    FEWEST,
    Spread,
    compare_features,
    copy_rate,
    fid,
    kid,
    nearest,
    pair_similarity,
    usual_copy_rate,
)
from training.models import Networks, draw
from training.run import Run, grid, replace_png, replace_text
from training.sliced_wasserstein import sliced_wasserstein
from training.trouble import Trouble

MOST_TRAINING_CARDS = 10_000  # that fakes are compared with; of more, a random choice
FEWEST_FOR_COPIES = 20  # held-out cards, to tell what distance is usual
BATCH = 64
SHOWN, SHOWN_NEIGHBOURS, SHOWN_HEIGHT = 24, 2, 160  # of neighbours.png; the height in pixels

TITLES = {
    "kid": "KID x1000",
    "fid": "FID",
    "ms_ssim_excess": "MS-SSIM above real pairs",
    "kid_keras": "KID-keras x1000",
    "fid_keras": "FID-keras",
}


class BadEvaluation(Trouble):
    """The run cannot be evaluated like this; the message says why and what to do."""


@dataclass(frozen=True)
class Sample:
    """Cards (n, height, width, 3) and their features (n, 1280)."""

    cards: Cards
    features: Features

    def __len__(self) -> int:
        return len(self.cards)


@dataclass(frozen=True)
class Pool:
    """Rows of a dataset and their features; samples are drawn from it."""

    cards: Cards  # of the whole dataset, mapped from disk
    rows: NDArray[np.intp]
    features: Features

    @staticmethod
    def of(cards: Dataset, rows: NDArray[np.intp], folder: Path) -> "Pool":
        """Compute the features, or read them from the folder."""
        return Pool(cards.cards, rows, features.of_dataset(cards, rows, folder))

    def __len__(self) -> int:
        return len(self.rows)

    def sample(self, order: NDArray[np.intp]) -> Sample:
        """Return the members at these places."""
        return Sample(self.cards[self.rows[order]], self.features[order])


@dataclass(frozen=True)
class Measure:
    """One metric of generated cards, and its floor: the same between real cards and other real cards."""

    generated: Spread
    real: Spread


@dataclass(frozen=True)
class Section:
    """Metrics against one kind of real cards, `cards` of them on each side."""

    title: str
    cards: int
    measures: dict[str, Measure]


@dataclass
class Evaluation:
    """What was measured, over how many draws, and what was left out for which reason."""

    images: int  # that the run had seen
    seeds: int
    sections: dict[str, Section] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def table(self) -> str:
        """Write the evaluation for people: each metric with its spread, and the floor beside it."""
        draws = f"mean ± standard deviation of {self.seeds} draws" if self.seeds > 1 else "one draw"
        lines = [
            f"After {self.images:,} images; {draws}.",
            "Under `real`, other real cards take the place of the generated: the nearer to that, the better.",
        ]
        for section in self.sections.values():
            heading = f"{section.title}, {section.cards:,} a side"
            lines += ["", f"{heading:44}{'generated':>18}{'real':>18}"]
            for name, measure in section.measures.items():
                lines.append(
                    f"  {title_of(name):42}{as_text(measure.generated):>18}{as_text(measure.real):>18}"
                )
        return "\n".join([*lines, "", *self.notes])


def title_of(metric: str) -> str:
    """Return a metric's name for people."""
    return TITLES.get(metric, metric.replace("_", " "))


def as_text(spread: Spread) -> str:
    """Write three or more digits, with the deviation where there is one."""
    digits = 1 if abs(spread.mean) >= 10 else 3
    deviation = "" if spread.deviation is None else f" ± {spread.deviation:.{digits}f}"
    return f"{spread.mean:.{digits}f}{deviation}"


def evaluate(
    folder: Path,
    data: Path | None = None,
    count: int = 500,
    seeds: int = 3,
    inception_weights: Path | None = None,
) -> Evaluation:
    """Measure a run's averaged generator; write evaluation.json and neighbours.png into the run's folder.

    Each seed draws `count` new fakes, and as many real cards twice, without overlap: one half to compare the
    fakes with, the other for the floor. Where the dataset has fewer cards, fewer are compared.
    Raises BadEvaluation for numbers that cannot be compared, BadRun if the run has no checkpoint or its cards
    are gone or others, BadDataset if they are damaged.
    """
    if count < FEWEST or seeds < 1:
        raise BadEvaluation(
            f"--count {count} --seeds {seeds} is too few: it takes {FEWEST} cards and one seed, or more. "
            "Usual are --count 500 --seeds 3."
        )
    run = Run.open(folder)
    embed = inception_of(inception_weights)  # refused before minutes of work
    networks = Networks.build(run.config)
    result = Evaluation(run.restore(networks, "best"), seeds)
    cards = cards_of(run, data)
    place = data or Path(run.data.folder)
    train = Pool.of(cards, some(cards.train), place)
    held_out = Pool.of(cards, cards.holdout, place)
    count = fitted(count, train, result)
    fakes = [
        fake_sample(run.config, networks.average, cards, count, seed) for seed in tqdm(range(seeds), "fakes")
    ]
    against_training(result, train, fakes)
    against_held_out(result, held_out, train, fakes)
    copies(result, held_out, train, fakes)
    against_inception(result, train, fakes[0], embed)
    replace_text(folder / "evaluation.json", json.dumps(asdict(result), indent=2, allow_nan=False))
    replace_png(folder / "neighbours.png", neighbours(fakes[0], train))
    return result


def some(rows: NDArray[np.intp]) -> NDArray[np.intp]:
    """Choose as many rows as features are computed for, always the same."""
    return np.sort(np.random.default_rng(0).permutation(rows)[:MOST_TRAINING_CARDS])


def fitted(count: int, train: Pool, result: Evaluation) -> int:
    """Return how many cards a side there are, so that the floor can be taken from two disjoint halves."""
    fits = min(count, len(train) // 2)
    if fits < FEWEST:
        raise BadEvaluation(
            f"The run's {len(train)} training cards are too few to compare with: it takes {2 * FEWEST}. Add "
            "pictures, prepare them anew and train a run on those."
        )
    if fits < count:
        result.notes.append(f"The {len(train):,} training cards allow {fits:,} a side, not {count:,}.")
    return fits


def fake_sample(config: Config, generator: keras.Model, cards: Dataset, count: int, seed: int) -> Sample:
    """Draw cards with a seed of this evaluation, kinds of card as often as in training."""
    fakes = draw_cards(config, generator, cards.labels[cards.train], count, seed)
    return Sample(fakes, features.features(fakes))


def draw_cards(
    config: Config, generator: keras.Model, labels: NDArray[np.int32], count: int, seed: int
) -> Cards:
    """Draw cards; with classes, each of a kind that is drawn from `labels`."""
    # Not the noise that the loop chose the best checkpoint by.
    noise = tf.random.stateless_normal((count, config.noise_size), [seed, 4])
    kinds = tf.constant(np.random.default_rng(seed).choice(labels, count))
    batches = (slice(start, start + BATCH) for start in range(0, count, BATCH))
    drawn = [draw(generator, noise[i], kinds[i]) for i in batches]
    return np.concatenate(drawn)


def compare(real: Sample, fake: Sample, seed: int) -> dict[str, float]:
    """Return every metric of two samples of one size that needs no third."""
    sliced = sliced_wasserstein(real.cards, fake.cards, seed)
    return (
        compare_features(real.features, fake.features, seed)
        | {f"sliced_wasserstein_{scale}": distance for scale, distance in sliced.items()}
        | {"ms_ssim_excess": pair_similarity(fake.cards, seed) - pair_similarity(real.cards, seed)}
    )


def against_training(result: Evaluation, train: Pool, fakes: list[Sample]) -> None:
    """Compare with training cards; the floor is between disjoint halves of them."""
    count = len(fakes[0])
    generated, floor = [], []
    for seed, fake in enumerate(tqdm(fakes, "against training cards")):
        half, other = halves(train, count, seed)
        generated.append(compare(half, fake, seed))
        floor.append(compare(half, other, seed))
    result.sections["training"] = Section("Against training cards", count, measures(generated, floor))


def halves(pool: Pool, count: int, seed: int) -> tuple[Sample, Sample]:
    """Draw two samples that share no card."""
    order = np.random.default_rng(seed).permutation(len(pool))
    return pool.sample(order[:count]), pool.sample(order[count : 2 * count])


def against_held_out(result: Evaluation, held_out: Pool, train: Pool, fakes: list[Sample]) -> None:
    """Compare with cards that no network has seen; the floor is between them and training cards."""
    count = min(len(held_out), len(fakes[0]))
    if count < FEWEST:
        result.notes.append(
            f"Left out: held-out cards. The dataset holds out {len(held_out)}; comparing takes {FEWEST}."
        )
        return
    generated, floor = [], []
    for seed, fake in enumerate(tqdm(fakes, "against held-out cards")):
        real = held_out.sample(np.random.default_rng(seed).permutation(len(held_out))[:count])
        generated.append(compare_features(real.features, fake.features[:count], seed))
        floor.append(compare_features(real.features, halves(train, count, seed)[0].features, seed))
    result.sections["held_out"] = Section("Against held-out cards", count, measures(generated, floor))


def copies(result: Evaluation, held_out: Pool, train: Pool, fakes: list[Sample]) -> None:
    """Measure how many fakes lie closer to a training card than held-out cards do."""
    if len(held_out) < FEWEST_FOR_COPIES:
        result.notes.append(
            f"Left out: copy rate. {len(held_out)} held-out cards do not tell what distance is usual; "
            f"it takes {FEWEST_FOR_COPIES}."
        )
        return
    rates = [copy_rate(train.features, held_out.features, fake.features) for fake in fakes]
    floor = Spread(usual_copy_rate(train.features, held_out.features))
    title = f"Nearest of {len(train):,} training cards"
    result.sections["copies"] = Section(title, len(fakes[0]), {"copy_rate": Measure(Spread.of(rates), floor)})


def inception_of(weights: Path | None) -> Embed | None:
    """Return the space of Keras' InceptionV3, None where nobody names weights and Keras has none.

    Raises BadEvaluation if the named file is not there, BadWeights if what is there does not hold them.
    """
    if weights and not weights.exists():
        raise BadEvaluation(
            f"There is no file {weights}. Name the file with InceptionV3's weights, or leave out --inception."
        )
    place = weights or weights_file()
    return inception(place) if place.exists() else None


def against_inception(result: Evaluation, train: Pool, fake: Sample, embed: Embed | None) -> None:
    """Compare the first draw once more in the space of Keras' InceptionV3, if its weights are at hand."""
    if embed is None:
        result.notes.append(
            "Left out: KID and FID by Inception. Its weights are not here; "
            "keras.applications.InceptionV3(include_top=False) fetches them, --inception names a file."
        )
        return
    real, other = (embed(half.cards) for half in halves(train, len(fake), seed=0))
    drawn = embed(fake.cards)
    result.sections["inception"] = Section(
        "By Keras' InceptionV3, not FID's own; training cards",
        len(fake),
        {
            # Of one draw: how its subsets differ is not how draws do.
            "kid_keras": Measure(Spread(kid(real, drawn).mean), Spread(kid(real, other).mean)),
            "fid_keras": Measure(Spread(fid(real, drawn)), Spread(fid(real, other))),
        },
    )


def measures(generated: list[dict[str, float]], floor: list[dict[str, float]]) -> dict[str, Measure]:
    """Summarise the draws, metric by metric."""
    return {
        name: Measure(
            Spread.of([draw[name] for draw in generated]), Spread.of([draw[name] for draw in floor])
        )
        for name in generated[0]
    }


def neighbours(fake: Sample, train: Pool) -> Cards:
    """Lay out generated cards, each with its nearest training cards at its right, as one picture.

    They are spread evenly over all fakes from the nearest (top left) to the farthest (bottom right).
    """
    indices, distances = nearest(fake.features, train.features, SHOWN_NEIGHBOURS)
    order = np.argsort(distances[:, 0])
    shown = order[np.linspace(0, len(order) - 1, min(SHOWN, len(order))).round().astype(int)]
    strips = [np.concatenate([fake.cards[row], *train.sample(indices[row]).cards], axis=1) for row in shown]
    scale = max(1, round(SHOWN_HEIGHT / fake.cards.shape[1]))
    enlarged = np.stack(strips).repeat(scale, axis=1).repeat(scale, axis=2)
    return grid(enlarged, gap=12)
