"""POST /score: what the discriminator thinks of uploads."""

import asyncio
import hashlib
import secrets
import time
from dataclasses import dataclass

import numpy as np
from fastapi import APIRouter, Request, Response

from serving import cards, problems
from serving.backend import ModelInfo
from serving.bodies import Judgement, Model, ScoredCard
from serving.cards import BadCard, Card
from serving.content import require_media_type
from serving.contract import MAX_ROWS, SCORE
from serving.gateway import TheGateway
from serving.openapi import FILE, refusals
from serving.problems import Fault, Kind, Refusal
from serving.uploads import Upload, read_files

FILES = "files"

BAD_CARD_KINDS: dict[cards.BadCardCode, Kind] = {
    "empty": problems.VALIDATION,
    "unsupported": problems.UNSUPPORTED_IMAGE,
    "corrupt": problems.IMAGE_CORRUPT,
    "animated": problems.IMAGE_ANIMATED,
    "dimensions": problems.IMAGE_DIMENSIONS,
}

router = APIRouter()


@router.post(
    "/score",
    operation_id="score",
    summary="Judge cards",
    response_model=Judgement,
    responses=refusals(400, 408, 413, 415, 422, 500, 502, 503, 504),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "multipart/form-data": {
                    "schema": {
                        "type": "object",
                        "required": [FILES],
                        "additionalProperties": False,
                        "properties": {
                            FILES: {
                                "type": "array",
                                "description": "PNG, JPEG or WebP, one still picture each.",
                                "items": FILE,
                                "minItems": 1,
                                "maxItems": MAX_ROWS,
                            }
                        },
                    }
                }
            },
        }
    },
)
async def score(request: Request, gateway: TheGateway) -> Response:
    """Judge 1 to 16 uploads. If one of them cannot be read none is judged, and every bad one is named."""
    require_media_type(
        request, "multipart/form-data", f"Send the cards as multipart/form-data: curl -F {FILES}=@card.png."
    )
    uploads = await read_files(
        request.headers["content-type"],
        request.stream(),
        name=FILES,
        max_files=MAX_ROWS,
        max_file=gateway.settings.max_file,
    )
    info = await gateway.backend.info()
    read = await asyncio.gather(*(gateway.work(read_card, upload, info) for upload in uploads))
    refuse_bad(read)
    readable = [card for card in read if isinstance(card, ReadCard)]
    scored = await gateway.backend.score(np.stack([card.pixels for card in readable]))
    judgement = Judgement(
        id=f"scr_{secrets.token_hex(12)}",
        created=int(time.time()),
        model=Model(name=SCORE.model, version=scored.version),
        data=[
            ScoredCard(
                index=index,
                filename=upload.filename,
                sha256=card.sha256,
                format=card.format,
                width=card.width,
                height=card.height,
                logit=shortest(scored.logit[index]),
                probability=shortest(scored.probability[index]),
                percentile=shortest(scored.percentile[index]),
                applied=list(card.applied),
            )
            for index, (upload, card) in enumerate(zip(uploads, readable, strict=True))
        ],
    )
    headers = {"X-Model-Version": scored.version}
    return Response(judgement.model_dump_json(), 200, headers, "application/json")


@dataclass(frozen=True)
class ReadCard:
    """An upload, read and at the models' size."""

    pixels: Card
    sha256: str
    format: str
    width: int
    height: int
    applied: tuple[str, ...]


def read_card(upload: Upload, info: ModelInfo) -> ReadCard | BadCard:
    """Read one upload; a bad one is returned, not raised, so that its neighbours are looked at too."""
    data = bytes(upload.data)
    try:
        picture = cards.decode_upload(data, info.height, info.width)
    except BadCard as bad:
        return bad
    height, width = picture.size
    return ReadCard(
        pixels=picture.card,
        sha256=hashlib.sha256(data).hexdigest(),
        format=picture.format,
        width=width,
        height=height,
        applied=picture.applied,
    )


def refuse_bad(read: list[ReadCard | BadCard]) -> None:
    """Raise Refusal naming every upload that is no card."""
    bad = {index: card for index, card in enumerate(read) if isinstance(card, BadCard)}
    if not bad:
        return
    kinds = {BAD_CARD_KINDS[card.code] for card in bad.values()}
    faults = [
        Fault(pointer=f"/{FILES}/{index}", code=card.code, detail=str(card)) for index, card in bad.items()
    ]
    words = (
        " ".join(f"File {index + 1}: {card}" for index, card in bad.items()) if len(read) > 1 else str(bad[0])
    )
    raise Refusal(kinds.pop() if len(kinds) == 1 else problems.VALIDATION, words, faults)


def shortest(value: np.float32) -> float:
    """Return the float with the fewest digits that is still this float32: 71.2, not 71.19999694824219."""
    return float(str(value))
