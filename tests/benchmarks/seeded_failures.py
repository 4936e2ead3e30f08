"""What the doctor calls failures that were planted, and whether it stays silent at healthy runs.

    python -m tests.benchmarks.seeded_failures OUT --cards DATA [DATA ...] [--square DATA [DATA ...]]

Each failure, on each prepared dataset, is a process of its own that ends with the first finding; each healthy
run goes on to its end. Small networks, one seed. --square: 64x64 datasets, for the posted networks. Results
are kept in OUT, one file a cell; run again, it goes on with those missing, and prints the table.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

IMAGES = 16_000
HEALTHY_IMAGES = 12_000
SMALL = {"channels": (64, 32, 16), "batch": 32, "precision": "float32"}


@dataclass(frozen=True)
class Cell:
    """One kind of run."""

    expected: tuple[str, ...]  # the ids that name it rightly; none for a healthy run
    preset: str = "dcgan-r1"
    changes: dict[str, Any] = field(default_factory=dict)
    plant: Callable[[Any], None] | None = None  # what is done to the loop before its first step
    few: int | None = None  # training cards
    square: bool = False
    judged: bool = False
    holdout: bool = True
    foreign: bool = False  # the held-out cards are inverted


def rescaled(scale: float, shift: float) -> Callable[[Any], None]:
    """Give the networks real cards in another range than the generator's."""

    def plant(loop: Any) -> None:
        step = loop.step
        for name in ("discriminator_step", "generator_step"):
            play = getattr(step, name)

            def other(turn: Any, seed: Any, play: Any = play) -> Any:
                return play(turn._replace(real=turn.real * scale + shift), seed)

            setattr(step, name, other)

    return plant


def rate(network: str, value: float) -> Callable[[Any], None]:
    """Train one network at another constant rate; 0 freezes it."""

    def plant(loop: Any) -> None:
        import keras

        optimizer = keras.optimizers.Adam(value, 0.5, 0.99)
        optimizer.build(loop.step.learnt[network])
        loop.step.optimizers[network] = optimizer

    return plant


def exchanged(loop: Any) -> None:
    """Teach the discriminator with the labels of real cards and fakes exchanged."""
    told = loop.step.loss
    loop.step.loss = told._replace(discriminator=lambda real, fake: told.discriminator(fake, real))


def deaf(loop: Any) -> None:
    """Let the generator hardly hear its noise."""
    fakes, configured = loop.step.fakes, loop.draw

    def same(turn: Any, seed: Any, training: bool) -> Any:
        return quiet(fakes(turn, seed, training))

    def quiet(cards: Any) -> Any:
        import tensorflow as tf

        mean = tf.reduce_mean(cards, axis=0, keepdims=True)
        return mean + 0.05 * (cards - mean)

    def draw(noise: Any) -> Any:
        import numpy as np

        cards = configured(noise).astype(np.float32)
        return (cards.mean(axis=0) + 0.05 * (cards - cards.mean(axis=0))).astype(np.uint8)

    loop.step.fakes, loop.draw = same, draw


def copying(loop: Any) -> None:
    """Let the generator give training cards back."""
    loop.draw = lambda noise: loop.cards.cards[loop.cards.train[: len(noise)]]


def fixed_corner(loop: Any) -> None:
    """Let a part of the card be the same on all that the generator draws."""
    configured = loop.draw

    def draw(noise: Any) -> Any:
        cards = configured(noise).copy()
        cards[:, : cards.shape[1] // 4, : cards.shape[2] // 4] = 90
        return cards

    loop.draw = draw


def slow(loop: Any) -> None:
    """Let every batch take as long to read as a step takes."""

    class Slow:
        def __init__(self, cards: Any) -> None:
            self.cards = cards

        def __getitem__(self, rows: Any) -> Any:
            time.sleep(1.5)
            return self.cards[rows]

    loop.cards = replace_cards(loop.cards, Slow(loop.cards.cards))


def replace_cards(dataset: Any, cards: Any) -> Any:
    """Return a dataset with its pixels behind something else; its checks would measure them."""
    from copy import copy

    other = copy(dataset)
    object.__setattr__(other, "cards", cards)
    return other


def lost(loop: Any) -> None:
    """Let what is judged be good cards until 4,000 images, and then what a young generator draws."""
    judge, cards = loop.judge, loop.cards

    def judged(fakes: Any) -> Any:
        return judge(cards.cards[cards.train[: len(fakes)]] if loop.images < 4_000 else fakes)

    loop.judge = judged


def grid(loop: Any) -> None:
    """Let every second pixel be lighter on all that the generator draws."""
    configured = loop.draw

    def draw(noise: Any) -> Any:
        import numpy as np

        cards = configured(noise).astype(np.int16)
        cards[:, ::2, ::2] += 40
        return np.clip(cards, 0, 255).astype(np.uint8)

    loop.draw = draw


FAILURES: dict[str, Cell] = {
    "reals in [0, 1]": Cell(("D0",), plant=rescaled(0.5, 0.5)),
    "reals in [0, 255]": Cell(("D0",), plant=rescaled(127.5, 127.5)),
    "discriminator frozen": Cell(("D1",), plant=rate("discriminator", 0.0)),
    "generator frozen": Cell(("D1",), plant=rate("generator", 0.0)),
    "the posted recipe": Cell(("D2",), "seed", {"batch": 32}, square=True),
    "hinge, slopes not bounded, generator's rate / 50": Cell(
        ("D2",), "hinge-sn", {"spectral_norm": False}, rate("generator", 4e-6)
    ),
    "no penalty, generator's rate / 50": Cell(("D2",), "dcgan-r1", {"r1": 0.0}, rate("generator", 1e-5)),
    "relativistic, no penalty, generator's rate / 50": Cell(
        ("D2",), "nano", {"r1": 0.0}, rate("generator", 1e-5)
    ),
    "discriminator's rate / 5000": Cell(("D3",), plant=rate("discriminator", 1e-7)),
    "discriminator learns backwards": Cell(("D3", "D4"), plant=rate("discriminator", -5e-4)),
    "labels exchanged": Cell(("D3",), plant=exchanged),
    "penalty x 1000": Cell(("D3",), changes={"r1": 5_600.0, "images": 24_000}),
    "learning rate x 100": Cell(("D2", "D3", "D4"), "dcgan-r1", {"learning_rate": 5e-2}),
    "learning rate 1e5": Cell(("D4",), "dcgan-r1", {"learning_rate": 1e5}),
    "held-out cards that the discriminator takes for fakes": Cell(("D5",), foreign=True),
    "penalty x 10, generator's rate / 50, none held out": Cell(
        ("D6", "D2"), plant=rate("generator", 1e-5), changes={"r1": 56.0, "images": 20_000}, holdout=False
    ),
    "noise not heard": Cell(("D7",), plant=deaf),
    "a corner always the same": Cell(("D8",), plant=fixed_corner),
    "training cards given back": Cell(("D9",), plant=copying),
    "good cards lost after 4,000 images": Cell(
        ("D10",), plant=lost, changes={"evaluate_every": 1_000}, judged=True
    ),
    "augmentation always": Cell(("D11",), changes={"augment": 1.0, "images": 40_000}),
    "a grid of single pixels": Cell(("D12",), plant=grid),
    "50 cards": Cell(("D13",), few=50),
    "slow disk": Cell(("D14",), plant=slow),
}
HEALTHY: dict[str, Cell] = {
    "dcgan-r1": Cell(()),
    "nano": Cell((), "nano"),
    "r3": Cell((), "r3", {"channels": (64, 32, 16, 16)}),
    "hinge-sn": Cell((), "hinge-sn"),
    "dcgan-r1, adaptive from 0.3": Cell((), "dcgan-r1", {"augment_from": 0.3}),
}
CELLS = FAILURES | HEALTHY


def main() -> None:
    """Run what is missing, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--cards", type=Path, nargs="+", default=[])
    parser.add_argument("--square", type=Path, nargs="*", default=[])
    parser.add_argument("--only", nargs="+", default=list(CELLS), help="cells, by name")
    parser.add_argument("--minutes", type=float, default=1e9, help="start no cell after this many")
    parser.add_argument("--cell", nargs=2, metavar=("NAME", "DATA"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    if options.cell:
        name, data = options.cell
        result = run(name, Path(data))
        place(options.out, name, Path(data)).write_text(json.dumps(result, indent=1))
        return
    started = time.monotonic()
    for name in options.only:
        for data in options.square if CELLS[name].square else options.cards:
            late = time.monotonic() - started > 60 * options.minutes
            if not late and not place(options.out, name, data).exists():
                command = [sys.executable, "-m", "tests.benchmarks.seeded_failures", str(options.out)]
                done = subprocess.run(
                    [*command, "--cell", name, str(data)], capture_output=True, text=True, check=False
                )
                if done.returncode:
                    print(name, data.name, done.stderr[-2000:], file=sys.stderr)
    print_table(options.out)


def place(out: Path, name: str, data: Path) -> Path:
    """Return where a cell's result lies."""
    return out / f"{data.name}-{''.join(c if c.isalnum() else '-' for c in name)}.json"


def run(name: str, data: Path) -> dict[str, Any]:
    """Train one cell with the doctor watching; return what it found and what the run logged."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from training import dataset
    from training.judge import Judge
    from training.loop import Loop
    from training.presets import configure
    from training.run import GoBack, Run, Source

    cell = CELLS[name]
    cards = cut(dataset.load(data), cell)
    small = {} if cell.square else SMALL
    options = {"images": IMAGES, "augment": 0.0, "evaluate_every": 0, "sample_every": 10**9} | small
    options |= {"checkpoint_every": 10**9, "doctor": "watch", "steps_per_call": 1}
    if not cell.expected:
        options |= {"images": HEALTHY_IMAGES, "augment": "adaptive", "augment_from": 0.0}
    config = configure(cell.preset, *cards.size, **(options | cell.changes))

    class Watched(Loop):
        broken: ClassVar[list[dict[str, float]]] = []  # what is not logged, for it is no number

        def listen(self, line: dict[str, float]) -> None:
            super().listen(line)
            if not all(math.isfinite(value) for value in line.values()):
                self.broken.append(line)
            self.stopped |= bool(cell.expected and self.bedside.doctor.present)

    with tempfile.TemporaryDirectory() as folder:
        record = Run.create(Path(folder) / "run", config, Source.of(data, cards))
        loop = Watched(config, record, cards, Judge(cards, 100) if cell.judged else None)
        if cell.plant:
            cell.plant(loop)
        try:
            loop.go()
        except GoBack as trouble:
            print(trouble)
        return {
            "cell": name,
            "cards": data.name,
            "expected": cell.expected,
            "images": loop.images,
            "facts": asdict(loop.bedside.doctor.history.facts),
            "lines": read(record.metrics) + loop.broken,
        }


def cut(cards: Any, cell: Cell) -> Any:
    """Return the cards of a cell: some of them, or none held out."""
    import numpy as np

    random = np.random.default_rng(0)
    if cell.few:
        cards = replace(cards, train=np.sort(random.permutation(cards.train)[: cell.few]))
    if cell.foreign:
        pixels = np.array(cards.cards)
        pixels[cards.holdout] = 255 - pixels[cards.holdout]
        cards = replace(cards, cards=pixels)
    return cards if cell.holdout else replace(cards, holdout=cards.holdout[:0])


def read(log: Path) -> list[dict[str, Any]]:
    """Return the lines of a file, none if there is none."""
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def first_finding(result: dict[str, Any]) -> Any:
    """Have a cell's lines heard by the doctor as it is now; return what it says first, or None."""
    from training.doctor.doctor import Doctor, Facts

    doctor = Doctor(Facts(**result["facts"]))
    return next((finding for line in result["lines"] for finding in doctor.hear(line)), None)


def print_table(out: Path) -> None:
    """Print a line for each cell, and how many were named rightly."""
    results = {
        (r["cell"], r["cards"]): r for r in (json.loads(p.read_text()) for p in sorted(out.glob("*.json")))
    }
    named = false = 0
    print("| planted | cards | should be | first finding | by image | evidence |\n|---|---|---|---|---|---|")
    for (name, data), result in sorted(results.items(), key=lambda item: list(CELLS).index(item[0][0])):
        first = first_finding(result)
        expected = CELLS[name].expected
        named += bool(first and first.id in expected)
        false += bool(first and not expected)
        said = f"{first.id} {first.name}" if first else "silent"
        place_ = first.where.removeprefix("image ") if first else f"({result['images']:,})"
        shown = first.evidence if first else ""
        print(f"| {name} | {data} | {' or '.join(expected) or 'silent'} | {said} | {place_} | {shown} |")
    failures = sum(bool(CELLS[name].expected) for name, _ in results)
    healthy = len(results) - failures
    print(f"\n{named} of {failures} failures named first; {false} of {healthy} healthy runs disturbed.")


if __name__ == "__main__":
    main()
