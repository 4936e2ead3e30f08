"""What is to be drawn: a row of noise for each card, and its label where the models know kinds."""

from dataclasses import dataclass

import numpy as np

from serving import noise
from serving.backend import Labels, ModelInfo, Noise
from serving.bodies import Fault
from serving.refusals import invalid


@dataclass(frozen=True)
class Order:
    """Rows, float32 (n, noise_size), the seed of each or None, and labels, int32 (n,) or None."""

    seeds: list[int | None]
    rows: Noise
    labels: Labels | None

    def mark(self, index: int) -> str:
        """Return what names a card's file: its seed, or its place if it has none."""
        seed = self.seeds[index]
        return str(index if seed is None else seed)


def from_seed(info: ModelInfo, seed: int, n: int, truncation: float, label: str | None) -> Order:
    """Order n cards drawn from seeds; raise Refusal for a kind that the models do not know."""
    labels = labels_of(label, seed, n, info)
    rows = noise.draw(seed, n, info.noise_size, truncation)
    return Order([(seed + index) % noise.SEEDS for index in range(n)], rows, labels)


def from_rows(info: ModelInfo, given: list[list[float]], label: str | None) -> Order:
    """Order a card for each row that a client gave; raise Refusal for rows that do not fit the models."""
    detail = f"A row needs {info.noise_size} numbers for these models."
    faults = [
        Fault(pointer=f"/noise/{index}", code="noise_size", detail=detail)
        for index, row in enumerate(given)
        if len(row) != info.noise_size
    ]
    if faults:
        raise invalid(*faults)
    if label is None and info.classes:
        detail = f"No seed is there that the kind could follow from. Name one: {', '.join(info.classes)}."
        raise invalid(Fault(pointer="/label", code="label_needed", detail=detail))
    return Order([None] * len(given), np.array(given, np.float32), labels_of(label, 0, len(given), info))


def labels_of(label: str | None, seed: int, n: int, info: ModelInfo) -> Labels | None:
    """Return the label of each card, None for models without; raise Refusal for a kind they do not know."""
    if label is None:
        return noise.draw_labels(seed, n, len(info.classes)) if info.classes else None
    if label in info.classes:
        return np.full(n, info.classes.index(label), np.int32)
    if info.classes:
        code, detail = "unknown_label", f"The models know these kinds: {', '.join(info.classes)}."
    else:
        code, detail = "no_labels", "The models know no kinds of card. Leave this out."
    raise invalid(Fault(pointer="/label", code=code, detail=detail))
