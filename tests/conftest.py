"""What several rooms' tests share: one tiny run on real sample cards, trained and exported once."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

# On a busy machine a slow example says nothing about the code.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

# Importing TensorFlow takes seconds: only tests that ask for a run pay for it.
if TYPE_CHECKING:
    from training.models import Networks


@dataclass(frozen=True)
class TinyRun:
    """The whole path, walked once: sample cards, dataset, run, model store."""

    cards: Path
    data: Path
    run: Path
    store: Path
    version: int


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> TinyRun:
    from training import train
    from training.export import export
    from training.prepare import prepare
    from training.sample_cards import sample_cards

    root = tmp_path_factory.mktemp("smoke")
    cards, data, run, store = (root / name for name in ("cards", "data", "run", "store"))
    sample_cards(cards, count=48, seed=3)
    prepare(cards, data, height=56, width=40)
    train.start(data, run, "smoke", images=48)
    return TinyRun(cards, data, run, store, export(run, store))


@dataclass(frozen=True)
class Kinds:
    """Networks that know two kinds of card, and the store they were exported to."""

    networks: "Networks"
    store: Path
    version: int
    classes: tuple[str, ...] = ("elves", "gob lins é")


@pytest.fixture(scope="session")
def kinds(tiny_run: TinyRun, tmp_path_factory: pytest.TempPathFactory) -> Kinds:
    from training import dataset
    from training.export import export_networks
    from training.models import Networks
    from training.presets import configure

    config = configure("smoke", 56, 40, classes=Kinds.classes)
    networks = Networks.build(config)
    # Weights as they are drawn give grey cards of either kind.
    for weight in networks.average.trainable_weights + networks.discriminator.trainable_weights:
        weight.assign(4 * weight)
    store = tmp_path_factory.mktemp("kinds")
    return Kinds(networks, store, export_networks(config, networks, 0, dataset.load(tiny_run.data), store))
