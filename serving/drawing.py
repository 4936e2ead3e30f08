"""The walk from rows of noise to image files, for every route that draws."""

import asyncio
from dataclasses import dataclass

import numpy as np

from serving import cards, noise, problems
from serving.backend import Labels, ModelInfo, Noise
from serving.gateway import Gateway
from serving.problems import Fault, Refusal
from serving.timings import stage


@dataclass(frozen=True)
class Drawn:
    """Cards as image files, the kind of each, and the version of the generator that drew them."""

    files: list[bytes]
    kinds: list[str | None]
    version: str


async def draw(
    gateway: Gateway, rows: Noise, labels: Labels | None, format: cards.Format, quality: int
) -> Drawn:
    """Draw a card for each row of noise and encode them on the threads for pixels."""
    info = await gateway.backend.info()
    generated = await gateway.backend.generate(rows, labels)
    with stage("encode"):
        files = await asyncio.gather(
            *(gateway.work(cards.encode, card, format, quality) for card in generated.cards)
        )
    kinds: list[str | None] = (
        [None] * len(rows) if labels is None else [info.classes[label] for label in labels]
    )
    return Drawn(files, kinds, generated.version)


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
    fault = Fault(pointer="/label", code=code, detail=detail)
    raise Refusal(problems.VALIDATION, f"label: {detail}", [fault])
