"""The posted recipe and what mends it, step by step: each recipe keeps the repairs before it."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

from training.config import Config
from training.presets import configure, dcgan_r1

SIDE = 64  # pixels; the posted networks know no other
BATCH = 32  # a few minutes would make some twenty steps of the posted 256


class Repair(NamedTuple):
    """One step away from the posted recipe."""

    name: str
    does: str
    fields: dict[str, Any]  # of Config


class Recipe(NamedTuple):
    """The posted recipe with the repairs up to one of them."""

    name: str
    does: str
    config: Config
    scaled: bool = True  # real pixels lie in [-1, 1], not in [0, 1]


OURS = dcgan_r1(SIDE, SIDE)

REPAIRS = (
    Repair("range", "real pixels in [-1, 1], as tanh gives", {}),
    Repair("logits", "cross-entropy of logits, never clipped", {"loss": "posted"}),
    Repair(
        "separate passes",
        "real and fake cards apart, none drawn by predict",
        {"mixed_batch": False, "predicted_fakes": False},
    ),
    # The posted loss is the mean over both halves, so that half of our gamma weighs as much.
    Repair("R1", "gradient penalty on real cards", {"r1": OURS.r1 / 2}),
    Repair("augmentation", "each augmentation with probability 0.3", {"augment": 0.3}),
    Repair("EMA", "cards of the averaged generator", {"average_half_life": OURS.average_half_life}),
    Repair(
        "networks",
        "this project's DCGAN in place of the posted networks",
        {
            "networks": OURS.networks,
            "noise_size": OURS.noise_size,
            "channels": OURS.channels,
            "upsampling": "nearest",
        },
    ),
)


def recipes(batch: int = BATCH) -> Iterator[Recipe]:
    """Yield the posted recipe, then the same with one repair more each time.

    As posted the loss is taken from probabilities, clipped. Keras finds the logit behind a sigmoid layer and
    clips nothing; most hand-written losses do clip.
    """
    config = configure("seed", SIDE, SIDE, loss="probabilities", batch=batch)
    yield Recipe("posted", "as posted, real pixels left in [0, 1]", config, scaled=False)
    for repair in REPAIRS:
        config = replace(config, **repair.fields)
        yield Recipe(repair.name, repair.does, config)
