"""From rows of noise to image files, for every route that draws."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from serving import cards
from serving.backend import Cards, Labels, ModelInfo, Noise
from serving.batcher import Draw
from serving.bodies import Fault
from serving.cards import Card
from serving.file_names import file_name
from serving.gateway import Gateway
from serving.refusals import invalid
from serving.timings import stage

QUALITY = 90
"""Of jpeg and webp, unless the client names one."""

SMALL = 3 * 128 * 128
"""Bytes of the largest card that counts as small: it becomes a PNG or JPEG within half a millisecond."""


@dataclass(frozen=True)
class Drawn:
    """Cards, the kind of each, and the version of the generator that drew them."""

    cards: Cards
    kinds: list[str | None]
    version: str


async def draw(ask: Draw, info: ModelInfo, rows: Noise, labels: Labels | None) -> Drawn:
    """Draw a card for each row of noise, for which `ask` has reserved room."""
    drawn = await ask(rows, labels, info.classes)
    kinds: list[str | None] = (
        [None] * len(rows) if labels is None else [info.classes[label] for label in labels]
    )
    return Drawn(drawn.cards, kinds, drawn.version)


def encoding_wait(gateway: Gateway, format: cards.Format, alone: bool = True) -> float:
    """Return the seconds that encoding will wait for a thread. A single card needs one only as WebP."""
    return 0.0 if alone and format != "webp" else gateway.pixels.wait


async def encode(
    gateway: Gateway, drawn: Sequence[Card] | Cards, format: cards.Format, quality: int
) -> list[bytes]:
    """Encode each card as an image file, on the threads for pictures.

    A single small card is encoded here, unless as WebP: handing it to a thread and back takes longer.
    """
    with stage("encode"):
        if len(drawn) == 1 and drawn[0].size <= SMALL and format != "webp":
            return [cards.encode(drawn[0], format, quality)]
        kind = f"encode {format}"
        return await asyncio.gather(
            *(gateway.pixels.work(kind, card.size, cards.encode, card, format, quality) for card in drawn)
        )


def quality_of(asked: int | None, format: cards.Format, pointer: str) -> int:
    """Return the quality to encode with; raise Refusal if one is asked for PNG."""
    if asked is not None and format == "png":
        detail = "PNG loses nothing and has no quality. Leave this out, or ask for jpeg or webp."
        raise invalid(Fault(pointer=pointer, code="not_for_png", detail=detail))
    return QUALITY if asked is None else asked


def file_header(filename: str) -> dict[str, str]:
    """Name the file for whoever saves it; browsers show pictures, and save a ZIP."""
    return {"Content-Disposition": f'inline; filename="{filename}"'}


def card_headers(mark: str, kind: str | None, format: cards.Format) -> dict[str, str]:
    """Return the headers of a single card's file: its name and kind."""
    return file_header(file_name("card", mark, format)) | kind_header(kind)


def kind_header(kind: str | None) -> dict[str, str]:
    """Return the header that names the kind of card, if the models know kinds."""
    return {} if kind is None else {"X-Label": quote(kind)}
