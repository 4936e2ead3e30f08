"""What drawing a card costs, by the generator as it is trained and by the form that is exported.

    python -m tests.benchmarks.drawing_form [--rounds 30]

The default networks at 80x112, their weights as they begin. Both draw in turn, batch after batch; medians of
milliseconds for a card, by the clock and of processor time. Which kernels TensorFlow uses depends on the CPU
and on TF_ENABLE_ONEDNN_OPTS, which the gateway leaves as it is.
"""

import argparse
import os
import time
from collections.abc import Callable
from statistics import median
from typing import Any

from serving.contract import BATCH_SIZES

HEIGHT, WIDTH = 112, 80


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=30)
    rounds = parser.parse_args().rounds
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    forms = drawers()
    print(
        "| cards a call | as trained: ms, CPU ms | as exported: ms, CPU ms | ratio, CPU |\n|---|---|---|---|"
    )
    for rows in BATCH_SIZES:
        costs: dict[str, list[tuple[float, float]]] = {name: [] for name in forms}
        for _ in range(rounds):
            for name, draw in forms.items():
                costs[name].append(cost(draw, rows))
        trained, exported = (
            tuple(1000 * median(part) / rows for part in zip(*found, strict=True)) for found in costs.values()
        )
        print(
            f"| {rows} | {trained[0]:.2f}, {trained[1]:.2f} | {exported[0]:.2f}, {exported[1]:.2f} | "
            f"{exported[0] / trained[0]:.2f}, {exported[1] / trained[1]:.2f} |"
        )


def drawers() -> dict[str, Callable[[int], Any]]:
    """Return how each form draws so many cards, compiled and run once at each batch size."""
    import tensorflow as tf

    from training import models
    from training.presets import configure
    from training.subpixel import drawing_form

    config = configure("tiny", HEIGHT, WIDTH)
    generator = models.generator(config)

    def drawer(network: Any) -> Callable[[int], Any]:
        spec = tf.TensorSpec((None, config.noise_size))
        cards = tf.function(
            lambda noise: models.to_pixels(network(noise, training=False)), input_signature=[spec]
        )
        noise = {rows: tf.random.stateless_normal((rows, config.noise_size), [1, 2]) for rows in BATCH_SIZES}

        def draw(rows: int) -> Any:
            return cards(noise[rows]).numpy()

        for rows in BATCH_SIZES:
            draw(rows)
        return draw

    return {"trained": drawer(generator), "exported": drawer(drawing_form(generator))}


def cost(draw: Callable[[int], Any], rows: int) -> tuple[float, float]:
    """Return the seconds that a call takes, by the clock and of processor time."""
    clock, processor = time.perf_counter(), time.process_time()
    draw(rows)
    return time.perf_counter() - clock, time.process_time() - processor


if __name__ == "__main__":
    main()
