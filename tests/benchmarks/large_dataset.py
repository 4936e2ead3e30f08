"""What a dataset's size costs in training: memory, time for a step, and waiting for cards.

    python -m tests.benchmarks.large_dataset [--cards 1000 10000 100000] [--preset smoke] [--steps 300]

Writes datasets of 80x112 cards to a temporary folder (2.7 GB for 100,000), trains on each in a fresh process
that finds none of it in the page cache, and deletes them. Prints a table in Markdown; returns 1 when one
needs more than 2 GB of memory or waits for cards for more than 5 % of the time.
"""

import argparse
import hashlib
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil

from training.dataset import CARDS, MANIFEST, load
from training.prepare import write_manifest

ROOT = Path(__file__).parents[2]
HEIGHT, WIDTH = 112, 80
MOST_BYTES, MOST_WAIT = 2e9, 0.05

TRAIN = """
import sys
from pathlib import Path
from training import train
data, run, preset, batch, images = sys.argv[1:]
train.start(Path(data), Path(run), preset, batch=int(batch), images=int(images), augment=0.0,
            sample_every=int(images), checkpoint_every=int(images))
"""


def main() -> int:
    """Print the table; return 1 when a target is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cards", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--preset", default="smoke")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=300)
    options = parser.parse_args()
    print("| cards | on disk, MB | load, s | step, ms (median) | input wait | memory, MB (peak) | (median) |")
    print("|---|---|---|---|---|---|---|")
    good = True
    for count in options.cards:
        with tempfile.TemporaryDirectory() as folder:
            good = measured(Path(folder), count, options) and good
    return 0 if good else 1


def measured(folder: Path, count: int, options: argparse.Namespace) -> bool:
    """Write, train and print one row; tell whether it keeps the targets."""
    data, run = folder / "data", folder / "run"
    write(data, count)
    started = time.perf_counter()
    load(data)
    loading = time.perf_counter() - started
    memory = trained(data, run, options)
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    times = [line["images"] / line["images_per_second"] for line in lines]
    steps = np.diff([line["step"] for line in lines])
    pace = statistics.median(np.diff(times) / steps)
    wait, peak = lines[-1]["input_wait"], max(memory)
    print(
        f"| {count:,} | {(data / CARDS).stat().st_size / 1e6:,.0f} | {loading:.2f} | {1000 * pace:.1f} "
        f"| {wait:.2%} | {peak / 1e6:,.0f} | {statistics.median(memory) / 1e6:,.0f} |",
        flush=True,
    )
    return peak <= MOST_BYTES and wait <= MOST_WAIT


def write(data: Path, count: int) -> None:
    """Write a dataset of gradients in random colours, each with its number in its first pixel."""
    data.mkdir()
    shade = np.linspace(0, 255, HEIGHT * WIDTH, dtype=np.uint16).reshape(HEIGHT, WIDTH, 1)
    colours = np.random.default_rng(0).integers(0, 256, (count, 1, 1, 3), np.uint16)
    names: dict[str, str] = {}
    with (data / CARDS).open("wb") as file:
        for number, colour in enumerate(colours):
            card = (shade * colour // 255).astype(np.uint8)
            card[0, 0] = [number >> 16, number >> 8 & 255, number & 255]
            names[hashlib.sha256(card.tobytes()).hexdigest()] = f"{number:06d}.png"
            file.write(card.tobytes())
        file.flush()
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    write_manifest(data / MANIFEST, {"height": HEIGHT, "width": WIDTH}, names, [])


def trained(data: Path, run: Path, options: argparse.Namespace) -> list[int]:
    """Train in a process of its own; return its resident memory in bytes, sampled all along."""
    images = options.steps * options.batch
    arguments = [str(part) for part in (data, run, options.preset, options.batch, images)]
    memory: list[int] = []
    with (run.parent / "log").open("wb") as log:
        child = psutil.Popen([sys.executable, "-c", TRAIN, *arguments], cwd=ROOT, stderr=log)
        while child.poll() is None:
            memory.append(child.memory_info().rss)
            time.sleep(0.05)
    if child.returncode:
        sys.exit((run.parent / "log").read_text())
    return memory


if __name__ == "__main__":
    sys.exit(main())
