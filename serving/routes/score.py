"""POST /score: what the discriminator thinks of uploads."""

import asyncio
import hashlib
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from fastapi import APIRouter, Request, Response

from serving import accept, cards, problems
from serving.access import MayScore
from serving.backend import ModelInfo, Scored
from serving.bodies import Fault, Judgement, Model, ScoredCard, UnreadCard
from serving.cards import BadCard, Picture
from serving.content import JSON, require_media_type
from serving.contract import MAX_ROWS, SCORE
from serving.gateway import Gateway, gateway_of
from serving.openapi import FILE, IMAGES, WORK, header, refusals, response_headers
from serving.patience import deadline_of
from serving.prefer import preferences
from serving.problems import Kind
from serving.query import refuse_query
from serving.refusals import Refusal, problem_of
from serving.timings import stage
from serving.uploads import Upload, read_file, read_files

MULTIPART = "multipart/form-data"
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
    responses={
        200: {"headers": response_headers("Cache-Control", "X-Model-Version", "Preference-Applied", *WORK)},
        **refusals(401, 403, 406, 415, 422, 429, 502, 504),
    },
    openapi_extra={
        "parameters": [
            header(
                "Prefer",
                "handling=lenient has each bad upload answered with its problem; wait=5 is how many seconds "
                "you wait for the models, 30 at most.",
            )
        ],
        "requestBody": {
            "required": True,
            "content": {
                MULTIPART: {
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
                },
                **IMAGES,
            },
        },
    },
)
async def score(request: Request, caller: MayScore) -> Response:
    """Judge 1 to 16 uploads, or one image that is the whole body, whichever kind of image it claims to be.

    If one of them cannot be read none is judged, and every bad one is named. With `Prefer: handling=lenient`
    the others are judged, and each bad one has its problem in place of scores.
    """
    refuse_query(request, "Send pictures in the body, and handling=lenient in the header Prefer.")
    accept.choose(request.headers, [JSON])
    gateway = gateway_of(request)
    uploads = await read_uploads(request, gateway.settings.max_file)
    deadline = deadline_of(request)
    headers: dict[str, str] = {}
    with gateway.batcher.judging(len(uploads), deadline, gateway.pixels.wait) as judge:
        await caller.take(len(uploads))
        info = await gateway.batcher.info(deadline=deadline)
        read = await read_cards(gateway, uploads, info)
        if preferences(request.headers.getlist("prefer")).get("handling", "").lower() == "lenient":
            headers["Preference-Applied"] = "handling=lenient"
        else:
            refuse_bad(read)
        pixels = [card.picture.card for card in read if isinstance(card, ReadCard)]
        scored = await judge(np.stack(pixels)) if pixels else None
    version = scored.version if scored else info.version
    judgement = Judgement(
        id=f"scr_{secrets.token_hex(12)}",
        created=int(time.time()),
        model=Model(name=SCORE.model, version=version),
        data=entries(uploads, read, scored, request.state.request_id),
    )
    return Response(judgement.model_dump_json(), 200, headers | {"X-Model-Version": version}, JSON)


async def read_uploads(request: Request, max_file: int) -> list[Upload]:
    """Read the files of a multipart body, or the body that is one."""
    claimed = require_media_type(
        request,
        [MULTIPART, *IMAGES],
        f"Send cards as {MULTIPART}, with curl -F {FILES}=@card.png, or one as the body, as image/png.",
    )
    if claimed in IMAGES:
        return [await read_file(request.stream(), max_file)]
    return await read_files(
        request.headers["content-type"], request.stream(), name=FILES, max_files=MAX_ROWS, max_file=max_file
    )


@dataclass(frozen=True)
class ReadCard:
    """An upload, read and at the models' size."""

    picture: Picture
    sha256: str


async def read_cards(
    gateway: Gateway, uploads: Sequence[Upload], info: ModelInfo
) -> list[ReadCard | Refusal]:
    """Read every upload on the threads for pictures."""
    places = ["" if upload.filename is None else f"/{FILES}/{index}" for index, upload in enumerate(uploads)]
    with stage("decode"):
        return await asyncio.gather(
            *(
                read_or_refuse(gateway, upload, info, place)
                for upload, place in zip(uploads, places, strict=True)
            )
        )


async def read_or_refuse(
    gateway: Gateway, upload: Upload, info: ModelInfo, pointer: str
) -> ReadCard | Refusal:
    """Read one upload; the refusal of a bad one is returned, so that the others are read too."""
    try:
        return await gateway.pixels.work("decode", upload.size, read_card, upload, info, pointer)
    except Refusal as refusal:
        return refusal


def read_card(upload: Upload, info: ModelInfo, pointer: str) -> ReadCard:
    """Read one upload; raise Refusal for a bad one."""
    if not upload.whole:
        detail = f"A file may have {upload.most:,} bytes. Send a smaller one."
        raise Refusal(problems.TOO_LARGE, detail, [Fault(pointer=pointer, code="too_large", detail=detail)])
    data = bytes(upload.data)
    try:
        picture = cards.decode_upload(data, info.height, info.width)
    except BadCard as bad:
        fault = Fault(pointer=pointer, code=bad.code, detail=str(bad))
        raise Refusal(BAD_CARD_KINDS[bad.code], str(bad), [fault]) from None
    return ReadCard(picture, hashlib.sha256(data).hexdigest())


def refuse_bad(read: Sequence[ReadCard | Refusal]) -> None:
    """Raise Refusal naming every upload that is no card."""
    bad = {index: card for index, card in enumerate(read) if isinstance(card, Refusal)}
    if not bad:
        return
    kinds = {card.kind for card in bad.values()}
    faults = [fault for card in bad.values() for fault in card.errors]
    words = [f"File {index + 1}: {card.detail}" for index, card in bad.items()]
    if len(read) == 1:
        words = [bad[0].detail]
    raise Refusal(kinds.pop() if len(kinds) == 1 else problems.VALIDATION, " ".join(words), faults)


def entries(
    uploads: Sequence[Upload], read: Sequence[ReadCard | Refusal], scored: Scored | None, request_id: str
) -> list[ScoredCard | UnreadCard]:
    """Return the scores of each card that was read and the problem of each other one, in upload order."""
    scores = iter(zip(scored.logit, scored.probability, scored.percentile, strict=True) if scored else ())
    found: list[ScoredCard | UnreadCard] = []
    for index, (upload, card) in enumerate(zip(uploads, read, strict=True)):
        if isinstance(card, Refusal):
            error = problem_of(card, request_id)
            found.append(UnreadCard(index=index, filename=upload.filename, error=error))
            continue
        logit, probability, percentile = next(scores)
        height, width = card.picture.size
        found.append(
            ScoredCard(
                index=index,
                filename=upload.filename,
                sha256=card.sha256,
                format=card.picture.format,
                width=width,
                height=height,
                logit=shortest(logit),
                probability=shortest(probability),
                percentile=shortest(percentile),
                applied=list(card.picture.applied),
            )
        )
    return found


def shortest(value: np.float32) -> float:
    """Return the float with the fewest digits that is still this float32: 71.2, not 71.19999694824219."""
    return float(str(value))
