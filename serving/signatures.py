"""Checks that models, what they are asked and what they answer keep to the contract, wherever they run."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from serving.backend import (
    REPLACED,
    BadAnswer,
    Cards,
    Generated,
    Labels,
    ModelInfo,
    Noise,
    NotReady,
    Scored,
)
from serving.contract import CLASSES, DESCRIBE, GENERATE, LABEL, SCORE, Signature

ANOTHER_PAIR = "Serve another version of the models, or export them again with `holofoil export RUN STORE`."

Shape = tuple[int | None, ...]  # None: a size that is left open


@dataclass(frozen=True)
class Spec:
    """What a signature says about one tensor."""

    dtype: str  # NumPy's name
    shape: Shape | None  # None: not even the rank is known

    def meets(self, wanted: "Spec") -> bool:
        """Whether a tensor can meet both."""
        if self.dtype != wanted.dtype:
            return False
        if self.shape is None or wanted.shape is None:
            return True
        return len(self.shape) == len(wanted.shape) and all(
            mine in (None, theirs) or theirs is None
            for mine, theirs in zip(self.shape, wanted.shape, strict=True)
        )

    def __str__(self) -> str:
        sizes = ["..."] if self.shape is None else ["?" if size is None else str(size) for size in self.shape]
        return f"{self.dtype} ({', '.join(sizes)})"


@dataclass(frozen=True)
class Specs:
    """What a signature says about its tensors, by their names."""

    inputs: Mapping[str, Spec]
    outputs: Mapping[str, Spec]


class ModelCard(BaseModel):
    """What the gateway reads of a model card; its other fields are for people."""

    classes: tuple[Annotated[str, Field(min_length=1)], ...] = Field(min_length=1, alias=CLASSES)


class BrokenContract(Exception):
    """A pair of models that the gateway cannot use; the message says why."""


def model_info(
    generate: Specs | None, score: Specs | None, version: str, classes: tuple[str, ...] = ()
) -> ModelInfo:
    """Learn the noise's width and the card's size from the signatures of a pair; None is a missing one.

    Raises BrokenContract for a signature that is missing or has other tensors, and for two card sizes.
    """
    (noise_size,) = sizes_of_input(GENERATE, generate, Spec("float32", (None, None)))
    height, width, channels = sizes_of_input(SCORE, score, Spec("uint8", (None, None, None, 3)))
    check_outputs(GENERATE, generate, Spec("uint8", (None, height, width, channels)))
    check_outputs(SCORE, score, Spec("float32", (None,)))
    return ModelInfo(version, noise_size, height, width, classes)


def takes_labels(generate: Specs | None) -> bool:
    """Whether a generator draws several kinds of card. Raises BrokenContract for labels of another type."""
    label = generate.inputs.get(LABEL) if generate else None
    wanted = Spec("int32", (None,))
    if label is not None and not label.meets(wanted):
        raise BrokenContract(
            f"{GENERATE.model} / {GENERATE.name} takes {LABEL} as {label}; the gateway needs {wanted}"
        )
    return label is not None


def classes_of(answer: Mapping[str, NDArray[Any]]) -> tuple[str, ...]:
    """Read the names of the kinds from what `describe` answered to one row. Raises BrokenContract."""
    (name,) = DESCRIBE.outputs
    try:
        classes = ModelCard.model_validate_json(answer[name][0]).classes
    except (LookupError, ValueError):
        raise no_names() from None
    if len(set(classes)) < len(classes):
        raise no_names()
    return classes


def no_names() -> BrokenContract:
    """Return the error of a model card without names of kinds."""
    return BrokenContract(
        f"{GENERATE.model} / {GENERATE.name} takes {LABEL}, but its model card has no {CLASSES}: "
        "a list of a different name for each kind of card"
    )


def sizes_of_input(signature: Signature, specs: Specs | None, wanted: Spec) -> tuple[int, ...]:
    """Return the sizes of a signature's input, without that of the rows. Raises BrokenContract."""
    if specs is None:
        raise BrokenContract(f"{signature.model} has no signature {signature.name}")
    if specs.inputs.keys() - set(signature.optional) != {signature.input}:
        names = ", ".join(specs.inputs) or "nothing"
        raise BrokenContract(f"{signature.model} / {signature.name} takes {names}, not {signature.input}")
    spec = specs.inputs[signature.input]
    rows, *sizes = spec.shape or (0,)
    known = tuple(size for size in sizes if size is not None)
    if not spec.meets(wanted) or rows is not None or len(known) < len(sizes):
        raise BrokenContract(
            f"{signature.model} / {signature.name} takes {signature.input} as {spec}; "
            f"the gateway needs {wanted} with every size known but the first"
        )
    return known


def check_outputs(signature: Signature, specs: Specs | None, wanted: Spec) -> None:
    """Raise BrokenContract unless a signature gives every output of the contract, each as wanted."""
    for name in signature.outputs:
        spec = specs.outputs.get(name) if specs else None
        if spec is None:
            raise BrokenContract(f"{signature.model} / {signature.name} gives no {name}")
        if not spec.meets(wanted):
            raise BrokenContract(
                f"{signature.model} / {signature.name} gives {name} as {spec}; "
                f"its pair and the gateway need {wanted}"
            )


def check_noise(noise: Noise, labels: Labels | None, info: ModelInfo) -> None:
    """Raise NotReady where rows of noise, or their labels, were made for other models than these."""
    if noise.shape[1] != info.noise_size or (labels is None) != (not info.classes):
        raise NotReady(REPLACED)


def check_cards(cards: Cards, info: ModelInfo) -> None:
    """Raise NotReady where cards were read at the size of other models than these."""
    if cards.shape[1:3] != (info.height, info.width):
        raise NotReady(REPLACED)


def generate_inputs(noise: Noise, labels: Labels | None) -> dict[str, NDArray[Any]]:
    """Name the arrays that a generator takes."""
    return {GENERATE.input: noise} | ({} if labels is None else {LABEL: labels})


def generated(answer: Mapping[str, NDArray[Any]], rows: int, info: ModelInfo, version: str) -> Generated:
    """Return the cards of an answer, or raise BadAnswer where they are not what was asked for."""
    (name,) = GENERATE.outputs
    return Generated(checked(answer, name, "uint8", (rows, info.height, info.width, 3)), version)


def scored(answer: Mapping[str, NDArray[Any]], rows: int, version: str) -> Scored:
    """Return the scores of an answer, or raise BadAnswer where they are not what was asked for."""
    logit, probability, percentile = (checked(answer, name, "float32", (rows,)) for name in SCORE.outputs)
    return Scored(logit, probability, percentile, version)


def checked(
    answer: Mapping[str, NDArray[Any]], name: str, dtype: str, shape: tuple[int, ...]
) -> NDArray[Any]:
    """Return one array of an answer, or raise BadAnswer where it is missing, of other size or not finite."""
    array = answer.get(name)
    if array is None:
        raise BadAnswer(f"The models answered without {name}. {ANOTHER_PAIR}")
    if array.dtype != dtype or array.shape != shape:
        raise BadAnswer(
            f"The models answered {name} as {array.dtype} {array.shape}, not {dtype} {shape}. {ANOTHER_PAIR}"
        )
    if not np.isfinite(array).all():
        raise BadAnswer(f"The models answered {name} with values that are not finite. {ANOTHER_PAIR}")
    return array
