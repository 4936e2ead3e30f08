"""What the doctor costs: a step with what it hears against one without, and its looks at cards.

    python -m tests.benchmarks.doctor_cost DATA

Paired rounds in turn in one process, processor time, medians. The step without is the same one with what it
computes for the doctor not asked for: the graph drops it.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

STEPS = 10  # as between two lines of a log


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--preset", default="nano")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()

    import numpy as np
    import tensorflow as tf

    from training import dataset
    from training.checkup import LOOKED_AT, Checkup
    from training.doctor.doctor import Doctor
    from training.feed import Feed
    from training.models import Networks, draw
    from training.presets import configure
    from training.steering import Steering
    from training.step import Step
    from training.vitals import NAMES, Movement

    cards = dataset.load(options.data)
    config = configure(options.preset, *cards.size, precision="float32", augment="adaptive")
    networks = Networks.build(config)
    step, deaf = Step(config, networks), without_vitals(config, networks)
    moved, checkup, doctor = Movement(networks), Checkup.of(cards), Doctor()
    steering = Steering(config, networks, cards)
    noise = tf.random.stateless_normal((LOOKED_AT, config.noise_size), [0, 4])
    line = {"step": 1.0, "d_loss": 0.6, "g_loss": 1.7} | dict.fromkeys(NAMES, 1.0)
    with Feed(cards, config.batch, 0) as feed:
        batch = feed.take(STEPS)
    parts: dict[str, Callable[[], Any]] = {
        "without": lambda: float(deaf(*batch, 0)["d_loss"]),
        "with": lambda: float(step(*batch, 0)["d_loss"]),
        "moved": moved,
        "rules": lambda: doctor.hear(line),
        "cards": lambda: checkup(draw(networks.average, noise, np.zeros(LOOKED_AT, np.int32))),
        "r_v": lambda: steering.look(0, 0.3),
    }
    times: dict[str, list[float]] = {name: [] for name in parts}
    for turn in range(options.rounds + 1):
        for name, part in parts.items():
            started = time.process_time()
            part()
            if turn:  # the first compiles
                times[name].append(time.process_time() - started)
    print_table(options.preset, config.batch, times, config.examine_every, config.steer_every)


def print_table(
    preset: str, batch: int, times: dict[str, list[float]], checkup_every: int, steer_every: int
) -> None:
    """Print each part's share of the time of the steps between two of its calls."""
    without = median(times["without"]) / STEPS
    step = median(heard - bare for heard, bare in zip(times["with"], times["without"], strict=True)) / STEPS
    shares = {
        "in the step": step / without,
        "movement, every line": median(times["moved"]) / (STEPS * without),
        "rules, every line": median(times["rules"]) / (STEPS * without),
        f"cards, every {checkup_every:,} images": median(times["cards"]) * batch / checkup_every / without,
        f"r_v, every {steer_every:,} images": median(times["r_v"]) * batch / steer_every / without,
    }
    print(f"{preset}: {1000 * without:.1f} ms of processor time a step without the doctor\n")
    print("| part | share of a step |\n|---|---|")
    for name, share in {**shares, "all": sum(shares.values())}.items():
        print(f"| {name} | {share:.2%} |")


def without_vitals(config: Any, networks: Any) -> Any:
    """Return the compiled step with nothing in it for the doctor."""
    import tensorflow as tf

    from training.step import Step
    from training.vitals import NAMES

    class Bare(Step):
        def step(
            self, cards: tf.Tensor, labels: tf.Tensor, index: tf.Tensor, *moving: tf.Tensor
        ) -> tf.Tensor:
            metrics = super().step(cards, labels, index, *moving)
            return tf.concat([metrics[: -len(NAMES)], tf.zeros(len(NAMES))], 0)

    return Bare(config, networks)


if __name__ == "__main__":
    main()
