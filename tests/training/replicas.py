"""A program for tests: a few steps of tiny runs on the devices that are there, and what they end with.

    python -m tests.training.replicas CPUS FOLDER RECIPE...

TF_CONFIG joins it with others. FOLDER gets a file for each recipe, with what `walk` returns.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from training import devices
from training.models import Networks
from training.presets import configure
from training.step import Step

STEPS = 3
RECIPES: dict[str, dict[str, Any]] = {
    "plain": {"r1_every": 2, "augment": 0.5},
    # Rates next to nothing: Adam's first steps are as long for gradients that are rounding as for others,
    # and behind deep features the gradients themselves are to be compared.
    "projected": {"projected": 1.0, "projected_every": 2, "learning_rate": 1e-7},
}


def walk(recipe: str, strategy: tf.distribute.Strategy) -> dict[str, Any]:
    """Take STEPS steps; return each replica's copy of each variable, and the metrics."""
    config = configure("smoke", 56, 40, classes=("a", "b"), final_learning_rate=0.0, **RECIPES[recipe])
    with strategy.scope():
        networks = Networks.build(config)
        step = Step(config, networks)
    random = np.random.default_rng(1)
    cards = random.integers(0, 256, (STEPS, config.batch, 56, 40, 3), np.uint8)
    labels = random.integers(0, 2, (STEPS, config.batch), np.int32)
    metrics = step(cards, labels, 0, 0.5)
    weights: dict[str, Any] = {}
    held = {name: network.weights for name, network in networks.parts().items()}
    held |= {name: optimizer.variables for name, optimizer in step.parts().items()}
    for name, variables in held.items():
        for number, variable in enumerate(variables):
            for replica, copy in enumerate(strategy.experimental_local_results(variable.value)):
                weights[f"{replica} {name} {number}"] = copy.numpy()
    return weights | {name: value.numpy() for name, value in metrics.items()}


def main(cpus: int, folder: str, *recipes: str) -> None:
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * cpus)
    strategy = devices.strategy()  # one: a second would number its reductions as the first does
    for recipe in recipes:
        np.savez(Path(folder) / f"{recipe}.npz", **walk(recipe, strategy))


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
