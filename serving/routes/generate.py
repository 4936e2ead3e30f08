"""POST /generate: cards from seeds, as JSON or as one image file."""

import base64
import secrets
import time
from typing import get_args
from urllib.parse import quote

from fastapi import APIRouter, Request, Response

from serving import accept, cards, noise, problems
from serving.backend import ModelInfo
from serving.bodies import Drawing, DrawnCard, GenerateBody, Model
from serving.content import read_json
from serving.contract import GENERATE
from serving.drawing import Drawn, draw, labels_of
from serving.gate import MayGenerate
from serving.gateway import TheGateway
from serving.openapi import HEADERS, IMAGES, refusals
from serving.problems import Fault, Refusal

router = APIRouter()


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
        **refusals(400, 401, 403, 406, 408, 413, 415, 422, 429, 500, 502, 503, 504),
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
async def generate(request: Request, gateway: TheGateway, visit: MayGenerate) -> Response:
    """Draw up to 16 cards. The same seed, label, truncation and model version draw the same card again."""
    body = await read_json(request, GenerateBody)
    media_type, format = negotiate(", ".join(request.headers.getlist("accept")), body)
    quality = compression(body, format)
    await visit.take(body.n)
    info = await gateway.backend.info()
    seed = secrets.randbelow(noise.SEEDS) if body.seed is None else body.seed
    labels = labels_of(body.label, seed, body.n, info)
    rows = await gateway.work(noise.draw, seed, body.n, info.noise_size, body.truncation)
    drawn = await draw(gateway, rows, labels, format, quality)
    headers = {"Vary": "Accept", "X-Seed": str(seed), "X-Model-Version": drawn.version}
    if media_type == "application/json":
        drawing = as_drawing(drawn, seed, format, info)
        return Response(drawing.model_dump_json(), 200, headers, media_type)
    extension = "jpg" if format == "jpeg" else format
    headers["Content-Disposition"] = f'inline; filename="card-{seed}.{extension}"'
    if drawn.kinds[0] is not None:
        headers["X-Label"] = quote(drawn.kinds[0])
    return Response(drawn.files[0], 200, headers, media_type)


def as_drawing(drawn: Drawn, seed: int, format: cards.Format, info: ModelInfo) -> Drawing:
    """Put cards into the JSON answer."""
    return Drawing(
        id=f"gen_{secrets.token_hex(12)}",
        created=int(time.time()),
        model=Model(name=GENERATE.model, version=drawn.version),
        data=[
            DrawnCard(
                index=index,
                seed=(seed + index) % noise.SEEDS,
                label=kind,
                media_type=f"image/{format}",
                width=info.width,
                height=info.height,
                b64_json=base64.b64encode(file).decode(),
            )
            for index, (file, kind) in enumerate(zip(drawn.files, drawn.kinds, strict=True))
        ],
    )


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
