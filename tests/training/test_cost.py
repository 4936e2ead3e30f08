import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from tensorflow.python.framework import ops

from training.config import BadConfig, Config
from training.cost import UnknownLayer, announce, calibrate, cost, macs, pace
from training.dataset import Dataset
from training.models import Networks
from training.presets import PRESETS, configure
from training.step import Step

PLAIN = {"augment": 0.0, "negatives": 0, "batch": 4, "r1_every": 1}
SIZES = [(56, 40), (64, 64), (112, 80)]


def configured(preset: str, **changes) -> Config:
    """Configure a preset for the first size it takes, with nothing in the step but networks."""
    for size in SIZES:
        try:
            return configure(preset, *size, **(PLAIN | changes))
        except BadConfig:
            continue
    raise AssertionError(f"{preset} takes none of these sizes: add one that it does")


def traced(config: Config) -> tf.Graph:
    """Trace the step of training."""
    step = Step(config, Networks.build(config))
    specs = (
        tf.TensorSpec((config.batch, config.height, config.width, 3), tf.uint8),
        tf.TensorSpec((config.batch,), tf.int32),
        tf.TensorSpec((), tf.int64),
        tf.TensorSpec((), tf.float32),
        tf.TensorSpec((), tf.float32),
    )
    return tf.function(step.step, autograph=False).get_concrete_function(*specs).graph


def counted_by_tensorflow(graph: tf.Graph) -> float:
    """Sum TensorFlow's own counts of operations over all of a graph that is run."""
    todo = [output.op for output in graph.outputs] + list(graph.control_outputs)
    run = {}
    while todo:
        operation = todo.pop()
        if operation.name not in run:
            run[operation.name] = operation
            todo += [tensor.op for tensor in operation.inputs] + list(operation.control_inputs)
    counts = (ops.get_stats_for_node_def(graph, operation.node_def, "flops") for operation in run.values())
    return float(sum(count.value or 0 for count in counts))


@pytest.mark.parametrize("preset", PRESETS)
def test_every_presets_step_computes_what_is_said(preset):
    config = configured(preset)
    measured = counted_by_tensorflow(traced(config)) / config.batch / 1e9
    assert cost(config).gflop_per_image == pytest.approx(measured, rel=0.06)


@pytest.mark.parametrize(
    "changes", [{"r1": 0.0}, {"r2": 1.0}, {"loss": "relativistic"}], ids=["no penalty", "two", "sees real"]
)
def test_penalties_and_losses_cost_what_is_said(changes):
    config = configured("smoke", **changes)
    measured = counted_by_tensorflow(traced(config)) / config.batch / 1e9
    assert cost(config).gflop_per_image == pytest.approx(measured, rel=0.06)


def test_a_lazy_penalty_costs_its_share():
    every, fourth, none = (
        cost(configured("smoke", **changes)).gflop_per_image for changes in ({}, {"r1_every": 4}, {"r1": 0.0})
    )
    assert fourth - none == pytest.approx((every - none) / 4)


def test_the_posted_networks_cost_what_the_field_counts():
    counted = cost(configure("seed", 64, 64))
    assert (counted.generator_parameters, counted.discriminator_parameters) == (994_144, 263_073)
    assert counted.generator_gmac == pytest.approx(0.109, abs=1e-3)
    assert counted.discriminator_gmac == pytest.approx(0.154, abs=1e-3)


def test_each_layer_is_counted_by_hand():
    cards = keras.Input((8, 6, 3))
    x = layers.Conv2D(5, 3, 2, "same")(cards)  # 4x3 places of 3x3x3x5
    x = layers.DepthwiseConv2D(3, padding="same")(x)  # 4x3 places of 3x3x5
    x = layers.Conv2DTranspose(2, 4, 2, "same")(x)  # 4x3 places of 4x4x5x2, each laid down
    x = layers.Dense(7)(x)  # 8x6 places of 2x7
    inner = keras.Model(cards, layers.Dense(1)(layers.Flatten()(x)))  # 8*6*7
    again = keras.Input((8, 6, 3))
    by_hand = 12 * 135 + 12 * 45 + 12 * 160 + 48 * 14 + 336
    assert macs(inner) == by_hand
    assert macs(keras.Model(again, layers.Dense(2)(inner(again)))) == by_hand + 2


def test_kinds_of_cards_add_their_directions():
    """By hand: TensorFlow's own count takes the inner side of a transposed batch product for its outer."""
    plain, kinds = (
        Networks.build(configured("smoke", classes=names)) for names in ((), ("elves", "goblins"))
    )
    features = kinds.discriminator.get_layer("features").output.shape[1]
    added = macs(kinds.discriminator) - macs(plain.discriminator)
    assert added == 2 * features + features  # which direction, and how far along it


def test_a_layer_that_cannot_be_counted_is_an_error():
    cards = keras.Input((8, 6, 3))
    for unknown in (layers.SeparableConv2D(5, 3), layers.EinsumDense("nhwc,cd->nhwd", (8, 6, 4))):
        with pytest.raises(UnknownLayer, match=unknown.name):
            macs(keras.Model(cards, unknown(cards)))
    with pytest.raises(UnknownLayer, match="Einsum"):
        macs(keras.Model(cards, keras.ops.einsum("nhwc,nhwd->nhcd", cards, cards)))


MEASURE = """
import re
from pathlib import Path

import psutil
import tensorflow as tf
from training.models import Networks
from training.presets import configure
from training.step import Step

config = configure("dcgan-r1", 112, 80, batch=48)
step = Step(config, Networks.build(config))
before = psutil.Process().memory_info().rss
step(tf.zeros((1, 48, 112, 80, 3), tf.uint8), tf.zeros((1, 48), tf.int32), 0)
# Not getrusage: a child begins with the peak of the process that forked it.
(peak,) = re.findall(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())
print(before, int(peak) * 1024)
"""


def test_a_step_takes_as_much_memory_as_is_said():
    """What it adds to a process with networks built, to a factor of two."""
    command = [sys.executable, "-c", MEASURE]
    root = Path(__file__).parents[2]
    ran = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    before, peak = (int(number) for number in ran.stdout.split())
    said = cost(configure("dcgan-r1", 112, 80, batch=48)).memory
    smallest = cost(configured("smoke")).memory
    assert 0.5 < (said - smallest) / (peak - before) < 2


def test_a_calibration_leaves_out_the_first_call_which_compiles():
    now = [0.0]

    def step(index: int) -> tf.Tensor:
        now[0] += 0.5 if index else 100.0
        return tf.constant(0.0)

    assert calibrate(step, batch=8, seconds=4.0, clock=lambda: now[0]) == 16


def some_cards() -> Dataset:
    return Dataset(np.zeros((2500, 56, 40, 3), np.uint8), np.arange(2000), np.arange(2000, 2500), "")


def test_a_run_is_announced_with_parameters_computation_passes_and_memory():
    said = announce(configure("dcgan-r1", 56, 40), some_cards())
    for part in ("40x56", "1,232,451", "378,001", "100,000 images", "50.0 times", "0.67 GFLOP", "0.8 GB"):
        assert part in said


def test_the_pace_tells_the_time_that_is_left():
    config = configure("dcgan-r1", 56, 40, images=10_000)
    assert pace(config, 4_000, 100.0) == "100.0 images/s: 60 seconds to go."
    assert "28 minutes" in pace(config, 0, 6.0)
    assert "2.8 hours" in pace(config, 0, 1.0)


def test_a_run_of_days_is_told_what_to_choose_instead():
    said = pace(configure("dcgan-r1", 112, 80, images=5_000_000), 0, 20.0)
    assert "2.9 days" in said
    assert "--images 1728000" in said
    assert "--preset smoke" in said
    assert "holofoil prepare FOLDER DATA --size 40x56" in said
    assert "seed" not in said
    assert "--preset" not in pace(configure("smoke", 56, 40, images=5_000_000), 0, 20.0)
