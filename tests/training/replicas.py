"""A program for tests: a few steps of a tiny run on the devices that are there, and what it ends with.

    python -m tests.training.replicas CPUS OUT [projected]

TF_CONFIG joins it with others. OUT holds each replica's copy of each variable, and the metrics. With a
projected discriminator the rates are next to nothing: Adam's first steps are as long for gradients that are
rounding as for others, and there the gradients themselves are to be compared.
"""

import sys
from dataclasses import replace

import numpy as np
import tensorflow as tf

from training import devices
from training.models import Networks
from training.presets import configure
from training.step import Step

STEPS = 3
PROJECTED = {"projected": 1.0, "projected_every": 2, "learning_rate": 1e-7}


def main(cpus: int, out: str, *more: str) -> None:
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * cpus)
    strategy = devices.strategy()
    config = configure("smoke", 56, 40, r1_every=2, augment=0.5, classes=("a", "b"), final_learning_rate=0.0)
    config = replace(config, **(PROJECTED if "projected" in more else {}))
    with strategy.scope():
        networks = Networks.build(config)
        step = Step(config, networks)
    random = np.random.default_rng(1)
    cards = random.integers(0, 256, (STEPS, config.batch, 56, 40, 3), np.uint8)
    labels = random.integers(0, 2, (STEPS, config.batch), np.int32)
    metrics = step(cards, labels, 0, 0.5)
    weights = {}
    held = {name: network.weights for name, network in networks.parts().items()}
    held |= {name: optimizer.variables for name, optimizer in step.optimizers().items()}
    for name, variables in held.items():
        for number, variable in enumerate(variables):
            for replica, copy in enumerate(strategy.experimental_local_results(variable.value)):
                weights[f"{replica} {name} {number}"] = copy.numpy()
    np.savez(out, **weights, **{name: value for name, value in metrics.items()})


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
