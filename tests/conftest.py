"""What several rooms' tests share: one tiny run on real sample cards, trained and exported once."""

import fcntl
import os
import shutil
from collections.abc import Callable
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


def pytest_configure() -> None:
    """Train as `holofoil` does, on every machine; whoever imports TensorFlow does so later."""
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, so that no worker is left with it while the others have ended."""
    items.sort(key=lambda item: "training" not in item.path.parts)


@dataclass(frozen=True)
class TinyRun:
    """The whole path, walked once: sample cards, dataset, run, model store."""

    cards: Path
    data: Path
    run: Path
    store: Path
    version: int


Shared = Callable[[str, Callable[[Path], object]], Path]
"""Returns the folder of a name, which whoever asks for it first fills."""


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Shared:
    """Folders that all workers of xdist read and none changes: what is dear is made once."""
    own = tmp_path_factory.getbasetemp()
    root = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own

    def folder(name: str, fill: Callable[[Path], object]) -> Path:
        with (root / f"{name}.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not os.fstat(lock.fileno()).st_size:
                fill(root / name)
                lock.write("filled")
        return root / name

    return folder


@pytest.fixture(scope="session")
def many_cards(shared: Shared) -> Path:
    """A folder of 200 sample cards."""
    from training.sample_cards.cards import sample_cards

    return shared("cards", lambda folder: sample_cards(folder, count=200, seed=5))


@pytest.fixture(scope="session")
def tiny_run(shared: Shared, many_cards: Path) -> TinyRun:
    from training import train
    from training.export import export
    from training.prepare import prepare

    def fill(root: Path) -> None:
        (root / "cards").mkdir(parents=True)
        for path in sorted(many_cards.iterdir())[:48]:
            shutil.copy(path, root / "cards")
        prepare(root / "cards", root / "data", height=56, width=40)
        train.start(root / "data", root / "run", "smoke", images=48)
        export(root / "run", root / "store")

    root = shared("smoke", fill)
    cards, data, run, store = (root / name for name in ("cards", "data", "run", "store"))
    return TinyRun(cards, data, run, store, version_of(store))


def version_of(store: Path) -> int:
    """Return the only version in a model store."""
    (version,) = (store / "generator").iterdir()
    return int(version.name)


@dataclass(frozen=True)
class Kinds:
    """Networks that know two kinds of card, and the store they were exported to."""

    networks: "Networks"
    store: Path
    version: int
    classes: tuple[str, ...] = ("elves", "gob lins é")


@pytest.fixture(scope="session")
def kinds(tiny_run: TinyRun, shared: Shared) -> Kinds:
    from training import dataset
    from training.export import export_networks
    from training.models import Networks
    from training.presets import configure

    config = configure("smoke", 56, 40, classes=Kinds.classes)
    networks = Networks.build(config)
    # Weights as they are drawn give grey cards of either kind.
    for weight in networks.average.trainable_weights + networks.discriminator.trainable_weights:
        weight.assign(4 * weight)
    data = dataset.load(tiny_run.data)
    store = shared("kinds", lambda folder: export_networks(config, networks, 0, data, folder))
    return Kinds(networks, store, version_of(store))
