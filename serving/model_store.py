"""The folders in which exported models lie, and which of them can be served."""

from dataclasses import dataclass
from pathlib import Path

from serving.backend import NotReady
from serving.contract import MODELS, is_version


@dataclass(frozen=True)
class Version:
    """A version of which the store holds both models."""

    number: int
    generator: Path
    discriminator: Path


def complete_versions(models: Path) -> list[Version]:
    """Return the versions that are there in both folders of a store, the newest first.

    An export publishes a pair in two steps, and a copy may be under way: what is half there is left out.
    """
    generators, discriminators = (folders(models / name) for name in MODELS)
    numbers = sorted(generators.keys() & discriminators.keys(), reverse=True)
    return [Version(number, generators[number], discriminators[number]) for number in numbers]


def folders(model: Path) -> dict[int, Path]:
    """Return the folders of a model's versions by their numbers; any other name is no version."""
    if not model.is_dir():
        return {}
    named = (path for path in model.iterdir() if is_version(path.name))
    return {int(path.name): path for path in named if (path / "saved_model.pb").is_file()}


def refuse_empty(models: Path, versions: list[Version]) -> None:
    """Raise NotReady where there is nothing to load."""
    if not models.is_dir():
        raise NotReady(f"There is no model store at {models}. {advice(models)}")
    if not versions:
        both = " and ".join(MODELS)
        raise NotReady(f"The model store {models} has no version in both {both}. {advice(models)}")


def advice(models: Path) -> str:
    """Say how a store gets models that can be loaded."""
    return f"Export a pair with `holofoil export RUN {models}`: it is loaded at the next request."
