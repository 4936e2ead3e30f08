"""Judges generators by what no network trained on ImageNet has a say in.

python -m tests.benchmarks.independent_judge DATA PRESET ORIGIN [ORIGIN ...]

Each ORIGIN is a run or a model store with that preset's networks. A projected discriminator teaches by
EfficientNet's features, and KID in their space flatters what it taught (Kynkäänniemi 2022). Beside it: KID on
the features of a network that was never trained (2208.09218); the sliced Wasserstein distance of pixels; and
how often a network that is trained for it, for a few passes, tells other real cards from other generated
ones: 0.5 is never. Prints a table in Markdown; the first row is real cards against other real cards.
"""

import argparse
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers
from numpy.typing import NDArray

from training import dataset
from training.features import Cards, Features, features
from training.metrics import kid
from training.models import Networks, draw, to_unit
from training.presets import configure
from training.sliced_wasserstein import sliced_wasserstein
from training.transfer import weights_of

CARDS = 1000  # of either side; half of them teach the network that tells them apart
PASSES = 6
QUIET: Any = {"verbose": 0}  # Keras' own annotation knows words only


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("preset")
    parser.add_argument("origins", type=Path, nargs="+")
    options = parser.parse_args()
    cards = dataset.load(options.data)
    rows = np.random.default_rng(0).permutation(cards.train)[: 2 * CARDS]
    real, other = np.split(cards.cards[rows], 2)
    print("| cards | KID x1000 | KID, untrained network | SWD | told apart |")
    print("|---|---|---|---|---|")
    print(line("real", real, other), flush=True)
    for origin in options.origins:
        print(line(origin.name, real, drawn(origin, options.preset, cards.size)), flush=True)


def drawn(origin: Path, preset: str, size: tuple[int, int]) -> Cards:
    """Draw cards with the averaged generator of a run or a store."""
    config = configure(preset, *size)
    networks = Networks.build(config)
    weights_of(origin, config).give(networks)
    noise = tf.random.stateless_normal((CARDS, config.noise_size), [7, 7])
    parts = [draw(networks.average, part, tf.zeros(len(part), tf.int32)) for part in tf.split(noise, 20)]
    return np.concatenate(parts)


def line(name: str, real: Cards, fake: Cards) -> str:
    trained = kid(features(real), features(fake)).mean
    untrained = kid(random_features(real), random_features(fake)).mean
    distance = sliced_wasserstein(real, fake)["average"]
    return f"| {name} | {trained:.1f} | {untrained:.2f} | {distance:.1f} | {told_apart(real, fake):.2f} |"


def random_features(cards: Cards) -> Features:
    """Return means and deviations of the maps of untrained convolutions, each of size 1 over all cards."""
    inputs = x = keras.Input(cards.shape[1:])
    found = []
    for seed, width in enumerate((32, 64, 128, 256)):
        init: Any = keras.initializers.HeNormal(seed=seed)
        x = layers.LeakyReLU(0.2)(layers.Conv2D(width, 4, 2, "same", kernel_initializer=init)(x))
        found += [keras.ops.mean(x, (1, 2)), keras.ops.std(x, (1, 2))]
    network = keras.Model(inputs, layers.Concatenate()(found))
    return network.predict(to_unit(cards), batch_size=64, **QUIET)


def told_apart(real: Cards, fake: Cards) -> float:
    """Train a small network to tell them apart; return how often it is right on those it has not seen."""
    keras.utils.set_random_seed(0)
    network = keras.Sequential([keras.Input(real.shape[1:])])
    for width in (32, 64, 128):
        network.add(layers.Conv2D(width, 4, 2, "same"))
        network.add(layers.LeakyReLU(0.2))
    network.add(layers.GlobalAveragePooling2D())
    network.add(layers.Dense(1))
    network.compile("adam", keras.losses.BinaryCrossentropy(from_logits=True))
    half = len(real) // 2
    answers = np.repeat([1.0, 0.0], half)
    network.fit(both(real[:half], fake[:half]), answers, batch_size=32, epochs=PASSES, **QUIET)
    said = network.predict(both(real[half:], fake[half:]), **QUIET)[:, 0] > 0
    return float(np.mean(said == (answers > 0.5)))


def both(real: Cards, fake: Cards) -> NDArray[np.float32]:
    """Return real cards, then generated ones, in [-1, 1]."""
    return to_unit(np.concatenate([real, fake])).numpy()


if __name__ == "__main__":
    main()
