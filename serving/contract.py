"""The words that training and serving share: models, signatures and tensors. Imports nothing.

The contract itself is the exported pair of SavedModels; this room only names its parts.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Signature:
    """One callable of a SavedModel, with the names of its tensors."""

    model: str  # the SavedModel's folder in the store, and TF Serving's model name
    name: str
    input: str
    outputs: tuple[str, ...]
    optional: tuple[str, ...] = ()  # further inputs, which only some models take


LABEL = "label"
"""int32 (n,), the kind of each card: an index into the model card's CLASSES."""

# noise float32 (n, z) -> cards uint8 (n, height, width, 3)
# A generator that knows several kinds of card takes a label with each row of noise.
GENERATE = Signature("generator", "generate", "noise", ("cards",), (LABEL,))

# cards uint8 (n, height, width, 3) -> three float32 (n,):
# the raw critic; P(real), calibrated at export, in [0, 1]; the share of held-out real cards
# that score lower, in [0, 100]. Nobody knows the kind of an upload: where there are several,
# a card is judged as the kind that suits it best.
SCORE = Signature("discriminator", "score", "cards", ("logit", "probability", "percentile"))

# Both models: index int32 (n,) -> string (n,), each the model card as JSON.
# It takes rows because a signature without inputs fails when TF Serving batches.
DESCRIBE = Signature("generator", "describe", "index", ("card",))

CLASSES = "classes"
"""The model card's list of the names of the kinds, in the order of their labels; empty without labels."""

MODELS = (GENERATE.model, SCORE.model)


def is_version(name: str) -> bool:
    """Tell whether a folder of the model store is a version, as TF Serving reads its name: a whole number."""
    return name.isascii() and name.isdecimal()


MAX_ROWS = 16
"""Most rows in one call to a model, and most cards in one request but for a morph's frames."""

BATCH_SIZES = (1, 2, 4, 8, 16)
"""Batch sizes a model is warmed up for; the last is MAX_ROWS."""
