"""The routes: what each takes, what it answers, and the walk between."""

import asyncio
import base64
import hashlib
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, get_args
from urllib.parse import quote

import numpy as np
from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Depends, Request, Response
from pydantic import ValidationError

from serving import accept, cards, noise, problems
from serving.backend import Backend, BackendError, Labels, ModelInfo, NotReady
from serving.bodies import (
    Drawing,
    DrawnCard,
    GenerateBody,
    Health,
    Judgement,
    Model,
    Readiness,
    ScoredCard,
)
from serving.cards import BadCard, Card
from serving.contract import GENERATE, MAX_ROWS, SCORE
from serving.limits import has_body
from serving.problems import Fault, Kind, Problem, Refusal
from serving.settings import Settings
from serving.uploads import Upload, read_files

MAX_JSON = 16 * 1024
"""Largest JSON body, in bytes."""

READY_SECONDS = 3.0
"""How long /readyz waits for models that are still loading."""

FILES = "files"

BAD_CARD_KINDS: dict[cards.BadCardCode, Kind] = {
    "empty": problems.VALIDATION,
    "unsupported": problems.UNSUPPORTED_IMAGE,
    "corrupt": problems.IMAGE_CORRUPT,
    "animated": problems.IMAGE_ANIMATED,
    "dimensions": problems.IMAGE_DIMENSIONS,
}

Result = TypeVar("Result")


@dataclass(frozen=True)
class Gateway:
    """What the routes work with, made once by the application."""

    settings: Settings
    backend: Backend
    pixels: CapacityLimiter
    """Threads for decoding and encoding, as many as cores: more would only crowd out the event loop."""

    async def work(self, function: Callable[..., Result], *arguments: object) -> Result:
        """Run a function that takes its time on one of the threads for pixels."""
        return await to_thread.run_sync(function, *arguments, limiter=self.pixels)


async def gateway_of(request: Request) -> Gateway:
    """Find what the application made in its lifespan."""
    return request.app.state.gateway


TheGateway = Annotated[Gateway, Depends(gateway_of)]
router = APIRouter()


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe in OpenAPI the problems a route may answer with."""
    schema = {"$ref": f"#/components/schemas/{Problem.__name__}"}
    titles: dict[int, list[str]] = {}
    for kind in vars(problems).values():
        if isinstance(kind, Kind) and kind.status in statuses:
            titles.setdefault(kind.status, []).append(f"`{kind.name}`: {kind.title}.")
    return {
        status: {"description": " ".join(lines), "content": {problems.MEDIA_TYPE: {"schema": schema}}}
        for status, lines in sorted(titles.items())
    }


BINARY = {"schema": {"type": "string", "contentEncoding": "binary"}}
IMAGES = {f"image/{format}": BINARY for format in get_args(cards.Format)}
HEADERS = {
    name: {"description": description, "schema": {"type": "string"}}
    for name, description in {
        "X-Seed": "The seed of the first card.",
        "X-Model-Version": "The version of the generator.",
        "X-Label": "The kind of the one card in an image file, percent-encoded, where the models know kinds.",
    }.items()
}


@router.post(
    "/generate",
    operation_id="generate",
    summary="Draw cards",
    response_model=Drawing,
    responses={
        200: {
            "description": "The cards as JSON, or with `Accept: image/...` and n = 1 one image file.",
            "content": IMAGES,
            "headers": HEADERS,
        },
        **refusals(400, 406, 408, 413, 415, 422, 500, 502, 503, 504),
    },
    openapi_extra={
        "requestBody": {
            "content": {
                "application/json": {
                    "schema": GenerateBody.model_json_schema(),
                    "examples": {
                        "four": {"summary": "Four cards", "value": {"n": 4, "seed": 42}},
                        "typical": {"summary": "One typical card", "value": {"truncation": 0.7}},
                    },
                }
            }
        }
    },
)
async def generate(request: Request, gateway: TheGateway) -> Response:
    """Draw up to 16 cards. The same seed, label, truncation and model version draw the same card again."""
    body = await read_generate_body(request)
    media_type, format = negotiate(", ".join(request.headers.getlist("accept")), body)
    quality = compression(body, format)
    info = await gateway.backend.info()
    seed = secrets.randbelow(noise.SEEDS) if body.seed is None else body.seed
    labels = labels_of(body, seed, info)
    rows = await gateway.work(noise.draw, seed, body.n, info.noise_size, body.truncation)
    generated = await gateway.backend.generate(rows, labels)
    kinds: list[str | None] = [None] * body.n if labels is None else [info.classes[label] for label in labels]
    files = await asyncio.gather(
        *(gateway.work(cards.encode, card, format, quality) for card in generated.cards)
    )
    headers = {"Vary": "Accept", "X-Seed": str(seed), "X-Model-Version": generated.version}
    if media_type != "application/json":
        extension = "jpg" if format == "jpeg" else format
        headers["Content-Disposition"] = f'inline; filename="card-{seed}.{extension}"'
        if kinds[0] is not None:
            headers["X-Label"] = quote(kinds[0])
        return Response(files[0], 200, headers, media_type)
    drawing = Drawing(
        id=f"gen_{secrets.token_hex(12)}",
        created=int(time.time()),
        model=Model(name=GENERATE.model, version=generated.version),
        data=[
            DrawnCard(
                index=index,
                seed=(seed + index) % noise.SEEDS,
                label=kinds[index],
                media_type=f"image/{format}",
                width=info.width,
                height=info.height,
                b64_json=base64.b64encode(file).decode(),
            )
            for index, file in enumerate(files)
        ],
    )
    return Response(drawing.model_dump_json(), 200, headers, media_type)


async def read_generate_body(request: Request) -> GenerateBody:
    """Read the JSON body, where there is one; raise Refusal for one that cannot be read or breaks a rule."""
    if not has_body(request.headers):
        return GenerateBody()
    require_media_type(request, "application/json", 'Send {"n": 4} as application/json, or no body.')
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_JSON:
            raise Refusal(problems.TOO_LARGE, f"A JSON body may have {MAX_JSON:,} bytes. Send less.")
    try:
        return GenerateBody.model_validate_json(bytes(body) or b"{}")
    except ValidationError as error:
        raise problems.from_validation(error) from None


def require_media_type(request: Request, expected: str, advice: str) -> None:
    """Raise Refusal unless the body claims to be of the expected type."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != expected:
        raise Refusal(problems.UNSUPPORTED_MEDIA_TYPE, advice, headers={"Accept-Post": expected})


def negotiate(header: str, body: GenerateBody) -> tuple[str, cards.Format]:
    """Choose the answer's media type and the images' format; raise Refusal where nothing fits.

    JSON can always be had; one bare image only for n = 1, in output_format where the body names it.
    """
    formats: list[cards.Format] = [body.output_format]
    if "output_format" not in body.model_fields_set:
        formats += [format for format in get_args(cards.Format) if format != body.output_format]
    images: dict[str, cards.Format] = {f"image/{format}": format for format in formats if body.n == 1}
    chosen = accept.best(header, ["application/json", *images])
    if chosen is None:
        can = ", ".join(["application/json", *images])
        advice = "" if body.n == 1 else " One bare image needs n = 1."
        raise Refusal(
            problems.NOT_ACCEPTABLE, f"This can be answered as {can}.{advice}", headers={"Vary": "Accept"}
        )
    return chosen, images.get(chosen, body.output_format)


def compression(body: GenerateBody, format: cards.Format) -> int:
    """Return the quality to encode with; raise Refusal where it was asked of PNG."""
    if body.output_compression is None:
        return 90
    if format == "png":
        detail = "PNG loses nothing and has no quality. Leave this out, or ask for jpeg or webp."
        fault = Fault(pointer="/output_compression", code="not_for_png", detail=detail)
        raise Refusal(problems.VALIDATION, f"output_compression: {detail}", [fault])
    return body.output_compression


def labels_of(body: GenerateBody, seed: int, info: ModelInfo) -> Labels | None:
    """Return the label of each card, None for models without; raise Refusal for a kind they do not know."""
    if body.label is None:
        return noise.draw_labels(seed, body.n, len(info.classes)) if info.classes else None
    if body.label in info.classes:
        return np.full(body.n, info.classes.index(body.label), np.int32)
    if info.classes:
        code, detail = "unknown_label", f"The models know these kinds: {', '.join(info.classes)}."
    else:
        code, detail = "no_labels", "The models know no kinds of card. Leave this out."
    fault = Fault(pointer="/label", code=code, detail=detail)
    raise Refusal(problems.VALIDATION, f"label: {detail}", [fault])


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
                                "items": {"type": "string", "contentEncoding": "binary"},
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
        picture = cards.decode(data)
    except BadCard as bad:
        return bad
    height, width = picture.card.shape[:2]
    applied = (
        picture.applied if (height, width) == (info.height, info.width) else (*picture.applied, "resize")
    )
    return ReadCard(
        pixels=cards.fit(picture.card, info.height, info.width),
        sha256=hashlib.sha256(data).hexdigest(),
        format=picture.format,
        width=width,
        height=height,
        applied=applied,
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


@router.get("/healthz", operation_id="health", summary="Is the process alive?")
async def healthz() -> Health:
    """Answer as long as the event loop turns, whatever the models do."""
    return Health()


@router.get(
    "/readyz",
    operation_id="readiness",
    summary="Do the models answer?",
    responses=refusals(500, 503),
)
async def readyz(gateway: TheGateway) -> Readiness:
    """Describe the models, or answer 503 with the reason why there are none."""
    try:
        async with asyncio.timeout(READY_SECONDS):
            info = await gateway.backend.info()
    except TimeoutError:
        raise NotReady("The models are still loading. Ask again in a moment.") from None
    except BackendError as error:
        kind = problems.from_backend(error).kind
        raise Refusal(kind if kind.status == 503 else problems.NOT_READY, str(error)) from None
    return Readiness(
        version=info.version,
        noise_size=info.noise_size,
        height=info.height,
        width=info.width,
        classes=list(info.classes),
    )
