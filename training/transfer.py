"""Starting from trained weights: of a run, also one on smaller cards, or of the models that one exported."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tqdm import tqdm

from serving.contract import GENERATE, SCORE, is_version
from training.config import Config
from training.models import Networks, discriminator
from training.presets import growing
from training.run import Run
from training.step import thawed
from training.trouble import Trouble

Named = dict[str, NDArray[np.float32]]
"""Weights by the names that names_of gives them."""

RUNNING = "vector_u"  # how the name of a spectral norm's running vector ends
TRAINED = Path("assets.extra") / "trained_weights.npz"
"""In an exported version of a generator: the weights of the form that learns."""


class BadOrigin(Trouble):
    """There is nothing to start from, or it does not fit; the message says why and what to do."""


@dataclass(frozen=True)
class Weights:
    """Trained weights of each network, in Keras' order."""

    generator: list[NDArray[np.float32]]
    discriminator: list[NDArray[np.float32]]
    average: list[NDArray[np.float32]]
    projected: list[NDArray[np.float32]] | None = None  # of its heads, where there are any
    whole: bool = True  # nothing of the generators has still to be learnt from nothing

    def give(self, networks: Networks) -> None:
        """Set the weights of every network that there are weights of."""
        for name, network in networks.parts().items():
            if (weights := getattr(self, name)) is not None:
                network.set_weights(weights)


def weights_of(origin: Path, config: Config) -> Weights:
    """Read the weights of a run (its best checkpoint) or of a model store (its newest version).

    A store holds the averaged generator alone: both generators start from it. Adam's moments are in neither
    taken over. Raises BadOrigin if there are no weights or if they are of networks with other shapes, and
    BadConfig if more is frozen than there is.
    """
    thawed(discriminator(config), config.frozen)
    if (origin / "config.json").exists():
        return weights_of_run(Run.open(origin), config)
    if (origin / GENERATE.model).is_dir():
        return weights_of_store(origin, config)
    raise BadOrigin(
        f"{origin} is neither a run nor a model store. Name the folder of a run that holofoil train made, or "
        "a store that holofoil export filled."
    )


def weights_of_run(run: Run, config: Config) -> Weights:
    """Read a run's best checkpoint, the newest if none was evaluated; grow it to cards twice as large."""
    theirs, ours = Networks.build(run.config), Networks.build(config)
    run.restore(theirs, which="best")
    if config.classes and run.config.classes and config.classes != run.config.classes:
        pairs = zip(run.config.classes, config.classes, strict=False)  # other numbers are refused below
        renamed = ", ".join(f"{there} as {here}" for there, here in pairs if there != here)
        tqdm.write(f"Kinds are taken over by their place, whatever their names: {renamed}.")
    if (2 * run.config.height, 2 * run.config.width) == (config.height, config.width):
        return grown(run, config, theirs, ours)
    shared = {name: network for name, network in theirs.parts().items() if name in ours.parts()}
    for name, network in shared.items():
        own = ours.parts()[name]
        refuse_other_shapes(run.folder, name, names_of(network.weights), names_of(own.weights))
    weights: dict[str, Any] = {name: network.get_weights() for name, network in shared.items()}
    return Weights(**weights)


def growers(config: Config) -> str:
    """Say with which presets cards of half the sides are a start for these."""
    names = growing(config.height, config.width)
    half = f"{config.width // 2}x{config.height // 2}"
    if not names:
        return f"No preset grows whole from {half} to {config.width}x{config.height}: start without --from."
    return f"What grows whole from {half}: {', '.join(names)}. Train both sizes with the same of them."


def grown(run: Run, config: Config, theirs: Networks, ours: Networks) -> Weights:
    """Take over networks for cards half as high and wide (progressive growing, Karras 2017).

    Generators agree from the noise up, discriminators from the logit down. What the larger cards need besides
    starts as in a new run. Raises BadOrigin where nothing agrees.
    """
    origin, smaller = run.folder, run.config
    generator, drawing = agreeing(theirs.generator.get_weights(), ours.generator.get_weights())
    backwards, judging = agreeing(
        theirs.discriminator.get_weights()[::-1], ours.discriminator.get_weights()[::-1]
    )
    if not drawing or not judging:
        raise BadOrigin(f"Nothing of {origin} fits {config.preset} at twice the sides. {growers(config)}")
    tqdm.write(
        f"Grown from {origin}, whose cards are half as large: {drawing:.0%} of the generator's weights and "
        f"{judging:.0%} of the discriminator's come from there."
    )
    if smaller.channels != config.channels[: len(smaller.channels)]:
        tqdm.write(
            f"Its convolutions have other widths than {config.preset} has here, and are learnt anew. "
            f"{growers(config)}"
        )
    average, _ = agreeing(theirs.average.get_weights(), ours.generator.get_weights())
    return Weights(generator, backwards[::-1], average, whole=False)


Arrays = list[NDArray[np.float32]]


def agreeing(theirs: Arrays, ours: Arrays) -> tuple[Arrays, float]:
    """Return their weights as long as the shapes agree and ours from there on, and the share of theirs."""
    differing = (i for i, (a, b) in enumerate(zip(theirs, ours, strict=False)) if a.shape != b.shape)
    count = next(differing, min(len(theirs), len(ours)))
    share = sum(weight.size for weight in theirs[:count]) / sum(weight.size for weight in ours)
    return theirs[:count] + ours[count:], share


def weights_of_store(store: Path, config: Config) -> Weights:
    """Read the newest version of a store."""
    versions = [int(path.name) for path in (store / GENERATE.model).glob("*") if is_version(path.name)]
    if not versions:
        raise BadOrigin(
            f"The model store {store} is empty: no version of a generator is in it. Export a run into it, or "
            "name a run: --from RUN"
        )
    networks = Networks.build(config)
    average = read(store / GENERATE.model / str(max(versions)), GENERATE.name, networks.average)
    judge = read(store / SCORE.model / str(max(versions)), SCORE.name, networks.discriminator)
    tqdm.write(f"{store} has version {max(versions)}'s averaged generator and no other: both start from it.")
    return Weights(average, judge, average)


def keep_trained(network: keras.Model, version: Path) -> None:
    """Write a network's weights beside the other form of it that a version holds."""
    weights = names_of(network.weights)
    np.savez_compressed(version / TRAINED, **weights)  # pyright: ignore[reportArgumentType]


def read(folder: Path, signature: str, network: keras.Model) -> list[NDArray[np.float32]]:
    """Read the weights of an exported network in the order of this one's."""
    try:
        exported = trained_weights(folder, signature)
    except (OSError, KeyError, ValueError, BadZipFile, tf.errors.OpError) as error:
        raise BadOrigin(
            f"{folder} cannot be read ({error}). Export its run again, or name another store or a run."
        ) from None
    ours = names_of(network.weights)
    # Spectral norm's running vectors take no part in serving and are not exported; steps find them again.
    running = {name: weight for name, weight in ours.items() if name.endswith(RUNNING)}
    theirs = running | exported
    refuse_other_shapes(folder, network.name, theirs, ours)
    return [theirs[name] for name in ours]


def trained_weights(folder: Path, signature: str) -> Named:
    """Read what keep_trained wrote, or else the SavedModel's own weights."""
    if (folder / TRAINED).exists():
        with (folder / TRAINED).open("rb") as file:
            return dict(np.load(file))
    model = tf.saved_model.load(str(folder))  # its variables live as long as it does
    return names_of(model.signatures[signature].variables)


def names_of(variables: list[keras.Variable] | list[tf.Variable]) -> Named:
    """Return weights by names that do not depend on how many layers the process had made before.

    Keras numbers the layers of one kind through all networks: conv2d_5/kernel is here the kernel of the
    network's first, second, ... conv2d.
    """
    paths = [getattr(variable, "path", variable.name).removesuffix(":0") for variable in variables]
    parts = [re.fullmatch(r"(?:.*/)?(.*?)(?:_(\d+))?/([^/]+)", path) for path in paths]
    places = [(part[1], int(part[2] or 0), part[3]) for part in parts if part]
    ranks: dict[str, list[int]] = {}
    for kind, number, _ in sorted(set(places)):
        if number not in ranks.setdefault(kind, []):
            ranks[kind].append(number)
    return {
        f"{kind} {ranks[kind].index(number) + 1} {weight}": np.asarray(variable)
        for (kind, number, weight), variable in zip(places, variables, strict=True)
    }


def refuse_other_shapes(origin: Path, network: str, theirs: Named, ours: Named) -> None:
    """Raise BadOrigin unless both networks have the same weights in the same shapes."""
    for name in [*ours, *theirs]:
        there, here = (named[name].shape if name in named else "missing" for named in (theirs, ours))
        if there != here:
            raise BadOrigin(
                f"The {network} of {origin} does not fit this run: its weight {name!r} is {there}, here it "
                f"is {here}. Take the same --preset and --labels as there, and cards prepared with the same "
                "--size; or leave out --from."
            )
