"""Compares recipes at equal time and at equal images seen, with several seeds, on the same cards.

python -m tests.benchmarks.recipes DATA OUT [--recipes nano r3 ...] [--seeds 0 1 2] [--seconds 60 600 ...]

Each cell (recipe, number of cards, seed) trains in a process of its own, on one core, for as many seconds of
processor time: other work on the machine lengthens the wait and changes nothing. What is there already in OUT
is not done again, so a comparison can be stopped and gone on with. Prints a table in Markdown, mean ± spread
over the seeds; KID x1000 and FID against training cards, at equal numbers.
"""

import argparse
import itertools
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

RECIPES: dict[str, tuple[str, dict[str, Any]]] = {
    "seed": ("seed", {"batch": 32}),
    "dcgan-r1": ("dcgan-r1", {}),
    "… RpGAN": ("dcgan-r1", {"loss": "relativistic"}),
    "… RpGAN, R2": ("dcgan-r1", {"loss": "relativistic", "r2": "as r1"}),
    "… R1 every 4th step": ("dcgan-r1", {"r1_every": 4}),
    "… nearest and 3x3": ("dcgan-r1", {"upsampling": "nearest"}),
    "… augmentation 0.3": ("dcgan-r1", {"augment": 0.3}),
    "r3": ("r3", {}),
    "hinge-sn": ("hinge-sn", {}),
    "nano": ("nano", {}),
    "nano, projected": ("nano", {"projected": 1.0}),
    "nano, projected, 2e-4": ("nano", {"projected": 1.0, "learning_rate": 2e-4}),
    "nano, bfloat16": ("nano", {"precision": "bfloat16"}),
    "nano, augmentation 0.3": ("nano", {"augment": 0.3}),
    "tiny": ("tiny", {}),
    "tiny, all cards looked at": ("tiny", {"projected_every": 1}),
    "tiny, every second": ("tiny", {"projected_every": 2}),
    "base": ("base", {"batch": 32, "learning_rate": 5e-4}),
}
FAKES = 500
"""Generated cards that are judged, against as many real ones."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--recipes", nargs="+", default=list(RECIPES), choices=list(RECIPES))
    parser.add_argument("--cards", nargs="+", type=int, default=[0], help="0 is all of them")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--seconds", nargs="+", type=float, default=[150.0], help="to judge after, rising")
    parser.add_argument("--images", type=int, default=10_000, help="at which all are judged too")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--cell", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.cell:
        train_cell(options, json.loads(options.cell))
        return
    options.recipes = [recipe for recipe in options.recipes if fits(recipe, options.data)]
    cells = [
        {"recipe": recipe, "cards": cards, "seed": seed}
        for seed in options.seeds
        for cards in options.cards
        for recipe in options.recipes
    ]
    options.out.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(options.workers) as pool:
        list(pool.map(lambda cell: run_cell(options, cell), cells))
    print_table(options, [json.loads(path(options, cell).read_text()) for cell in cells])


def fits(recipe: str, data: Path) -> bool:
    """Whether a recipe's networks can draw cards of the data's size; it is said if they cannot."""
    from training import dataset
    from training.config import BadConfig

    try:
        configured({"recipe": recipe, "seed": 0}, *dataset.load(data).size)
    except BadConfig as error:
        print(f"{recipe} is left out: {error}", flush=True)
        return False
    return True


def path(options: argparse.Namespace, cell: dict[str, Any]) -> Path:
    name = f"{cell['recipe']}-{cell['cards'] or 'all'}-{cell['seed']}".replace(" ", "_")
    return options.out / f"{name}.json"


def run_cell(options: argparse.Namespace, cell: dict[str, Any]) -> None:
    """Train a cell in a fresh process that sees one core, unless it is done."""
    if path(options, cell).exists():
        return
    arguments = [str(options.data), str(options.out), "--cell", json.dumps(cell)]
    limits = ["--images", str(options.images), "--seconds", *map(str, options.seconds)]
    environment = os.environ | {
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "TF_ENABLE_ONEDNN_OPTS": "1",  # as `holofoil train` has it
        "TF_NUM_INTRAOP_THREADS": "1",
        "TF_NUM_INTEROP_THREADS": "1",
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "tests.benchmarks.recipes", *arguments, *limits]
    subprocess.run(command, env=environment, check=True, stderr=subprocess.DEVNULL)


def train_cell(options: argparse.Namespace, cell: dict[str, Any]) -> None:
    """Train until the processor time is spent; judge on the way and at the end."""
    import tensorflow as tf

    from training import dataset
    from training.feed import Feed
    from training.judge import Judge
    from training.models import Networks, draw
    from training.step import Step
    from training.train import fitted

    cards = dataset.load(options.data)
    if cell["cards"]:
        cards = replace(cards, train=cards.train[: cell["cards"]])
    config = fitted(configured(cell, *cards.size), cards, batch_given=False)
    networks = Networks.build(config)
    step = Step(config, networks)
    judge = Judge(cards, FAKES)
    noise = tf.random.stateless_normal((FAKES, config.noise_size), [1, 2])

    def judged(seen: int, spent: float) -> dict[str, float]:
        drawn = draw(networks.average, noise, tf.zeros(FAKES, tf.int32))
        return {"images": seen, "seconds": spent, **judge(drawn)}

    points, spent, seen, due = [], 0.0, 0, list(options.seconds)
    with Feed(cards, config.batch, config.seed) as feed:
        for index in itertools.count():
            batch = feed.take(1)
            began = time.process_time()
            metrics = step(*batch, index, float(config.augment or 0))
            float(metrics["d_loss"])
            # The first two steps compile.
            spent += time.process_time() - began if index > 1 else 0.0
            seen += config.batch
            if seen - config.batch < options.images <= seen:
                points.append({"at": "images"} | judged(seen, spent))
            if spent > due[0]:
                points.append({"at": due.pop(0)} | judged(seen, spent))
            if not due:
                break
    path(options, cell).write_text(json.dumps(cell | {"points": points}, indent=1))


def configured(cell: dict[str, Any], height: int, width: int) -> Any:
    """Return the cell's configuration, its learning rate constant: how long a run will be is not known."""
    from training.presets import configure

    preset, changes = RECIPES[cell["recipe"]]
    plain = {"precision": "float32", "augment": 0.0, "final_learning_rate": None, "final_penalty": 1.0}
    config = configure(preset, height, width, seed=cell["seed"], **(plain | changes))
    return replace(config, r2=config.r1) if config.r2 == "as r1" else config


def print_table(options: argparse.Namespace, cells: list[dict[str, Any]]) -> None:
    """Print a row for each recipe and number of cards: KID at every time, the rest after the last."""
    print(f"\n{options.data.name}, seconds of one core\n")
    times = {"images": f"{options.images:,} images"} | {time: f"{time:g} s" for time in options.seconds}
    heads = ["recipe", "cards", "images a CPU second", *(f"KID at {time}" for time in times.values())]
    heads += ["images", "FID", "coverage"]
    print(f"| {' | '.join(heads)} |\n{'|---' * len(heads)}|")
    for cards in options.cards:
        for recipe in options.recipes:
            runs = [c["points"] for c in cells if (c["recipe"], c["cards"]) == (recipe, cards)]
            ends = [run[-1] for run in runs]
            rate = spread([end["images"] / end["seconds"] for end in ends])
            kids = " | ".join(kid_at(runs, time) for time in times)
            last = " | ".join(spread([end[name] for end in ends]) for name in ("images", "fid"))
            coverage = spread([end["coverage"] for end in ends], 2)
            print(f"| {recipe} | {cards or 'all'} | {rate} | {kids} | {last} | {coverage} |")


def kid_at(runs: list[list[dict[str, Any]]], time: float | str) -> str:
    kids = [point["kid"] for run in runs for point in run if point["at"] == time]
    return spread(kids) if kids else "not reached"


def spread(values: list[float], digits: int = 0) -> str:
    """Write mean ± standard deviation."""
    deviation = stdev(values) if len(values) > 1 else 0.0
    return f"{mean(values):,.{digits}f} ± {deviation:,.{digits}f}"


if __name__ == "__main__":
    main()
