"""What several rooms' tests share: one tiny run on real sample cards, trained and exported once."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import settings

# On a busy machine a slow example says nothing about the code.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

# Importing TensorFlow takes seconds: only tests that ask for a run pay for it.


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

    root = tmp_path_factory.mktemp("tiny")
    cards, data, run, store = (root / name for name in ("cards", "data", "run", "store"))
    sample_cards(cards, count=48, seed=3)
    prepare(cards, data, height=56, width=40)
    train.start(data, run, "tiny", images=48)
    return TinyRun(cards, data, run, store, export(run, store))
