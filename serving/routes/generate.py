"""POST /generate: cards from seeds or noise, as JSON, one image file, a contact sheet or a ZIP."""

import base64
import secrets
import time
from typing import get_args

from fastapi import APIRouter, Request, Response
from starlette.datastructures import Headers

from serving import accept, archive, cards, noise, order
from serving.access import MayGenerate
from serving.backend import ModelInfo
from serving.bodies import Drawing, DrawnCard, Fault, GenerateBody, Model
from serving.content import JSON, read_json
from serving.contract import GENERATE
from serving.drawing import Drawn, card_headers, draw, encode, encoding_wait, file_header, quality_of
from serving.file_names import file_name
from serving.gateway import gateway_of
from serving.openapi import IMAGES, WAIT, WORK, file_content, json_body, refusals, response_headers
from serving.order import Order
from serving.patience import deadline_of
from serving.query import refuse_query
from serving.refusals import invalid
from serving.sheet import lay_out

router = APIRouter()


@router.post(
    "/generate",
    operation_id="generate",
    summary="Draw cards",
    response_model=Drawing,
    responses={
        200: {
            "description": "The cards as JSON or a ZIP; one card or a sheet also as an image file. "
            "`Accept` decides.",
            "content": file_content([*IMAGES, archive.MEDIA_TYPE]),
            "headers": response_headers(
                "Cache-Control",
                "Vary",
                "X-Model-Version",
                "X-Seed",
                "X-Label",
                "Content-Disposition",
                "Preference-Applied",
                *WORK,
            ),
        },
        **refusals(401, 403, 406, 415, 422, 429, 502, 504),
    },
    openapi_extra=json_body(
        GenerateBody,
        {
            "Four cards": {"n": 4, "seed": 42},
            "One typical card": {"truncation": 0.7},
            "Nine cards on one image": {"n": 9, "layout": "sheet", "output_format": "webp"},
        },
        required=False,
    )
    | {"parameters": [WAIT]},
)
async def generate(request: Request, caller: MayGenerate) -> Response:
    """Draw up to 16 cards. The same seed, label, truncation and model version draw the same card again."""
    refuse_query(request, 'Say it in a JSON body, such as {"seed": 7}, or ask with GET.')
    body = await read_json(request, GenerateBody)
    check(body)
    media_type, format = negotiate(request.headers, body)
    quality = quality_of(body.output_compression, format, "/output_compression")
    deadline, gateway = deadline_of(request), gateway_of(request)
    alone = body.count == 1 and body.layout != "sheet" and media_type != archive.MEDIA_TYPE
    with gateway.batcher.drawing(body.count, deadline, encoding_wait(gateway, format, alone)) as ask:
        await caller.take(body.count)
        info = await gateway.batcher.info(deadline=deadline)
        ordered = order_of(body, info)
        drawn = await draw(ask, info, ordered.rows, ordered.labels)
    headers = {"Vary": "Accept", "X-Model-Version": drawn.version}
    if ordered.seeds[0] is not None:
        headers["X-Seed"] = str(ordered.seeds[0])
    first = ordered.mark(0)
    if body.layout == "sheet":
        sheet = await gateway.pixels.work("lay out", len(drawn.cards), lay_out, drawn.cards)
        (file,) = await encode(gateway, [sheet], format, quality)
        headers |= file_header(file_name("sheet", first, format))
        return Response(file, 200, headers, media_type)
    files = await encode(gateway, drawn.cards, format, quality)
    if media_type == JSON:
        drawing = as_drawing(drawn, files, ordered, format)
        return Response(drawing.model_dump_json(), 200, headers, media_type)
    if media_type == archive.MEDIA_TYPE:
        names = [file_name("card", ordered.mark(index), format) for index in range(len(files))]
        named_files = dict(zip(names, files, strict=True))
        packed = await gateway.pixels.work("pack", len(files), archive.pack, named_files)
        return Response(packed, 200, headers | file_header(file_name("cards", first, "zip")), media_type)
    headers |= card_headers(first, drawn.kinds[0], format)
    return Response(files[0], 200, headers, media_type)


def order_of(body: GenerateBody, info: ModelInfo) -> Order:
    """Order what a body asks for; without a seed or noise, a seed is chosen at random."""
    if body.noise is not None:
        return order.from_rows(info, body.noise, body.label)
    seed = secrets.randbelow(noise.SEEDS) if body.seed is None else body.seed
    return order.from_seed(info, seed, body.n, body.truncation, body.label)


def check(body: GenerateBody) -> None:
    """Raise Refusal for fields that contradict each other."""
    if body.noise is None:
        return
    detail = "Noise of your own leaves nothing for this to say. Leave one of the two out."
    given = body.model_fields_set - ({"seed"} if body.seed is None else set())
    faults = [
        Fault(pointer=f"/{name}", code="not_with_noise", detail=detail)
        for name in ("seed", "truncation")
        if name in given
    ]
    if "n" in given and body.n != body.count:
        detail = "This is not the number of rows in noise. Leave it out."
        faults.append(Fault(pointer="/n", code="not_with_noise", detail=detail))
    if faults:
        raise invalid(*faults)


def negotiate(headers: Headers, body: GenerateBody) -> tuple[str, cards.Format]:
    """Choose the answer's media type and the images' format; raise Refusal if nothing fits.

    A sheet is one image. Cards are JSON or a ZIP, a single card also one image. The format is output_format,
    if the body names it.
    """
    formats: list[cards.Format] = [body.output_format]
    if "output_format" not in body.model_fields_set:
        formats += [format for format in get_args(cards.Format) if format != body.output_format]
    images: dict[str, cards.Format] = {f"image/{format}": format for format in formats}
    if body.layout == "sheet":
        offers, advice = list(images), "A sheet is one image."
    elif body.count > 1:
        offers = [JSON, archive.MEDIA_TYPE]
        advice = 'One image can hold one card, or with "layout": "sheet" all of them.'
    else:
        offers, advice = [JSON, *images, archive.MEDIA_TYPE], ""
    chosen = accept.choose(headers, offers, advice)
    return chosen, images.get(chosen, body.output_format)


def as_drawing(drawn: Drawn, files: list[bytes], ordered: Order, format: cards.Format) -> Drawing:
    """Put cards into the JSON answer."""
    height, width = drawn.cards.shape[1:3]
    return Drawing(
        id=f"gen_{secrets.token_hex(12)}",
        created=int(time.time()),
        model=Model(name=GENERATE.model, version=drawn.version),
        data=[
            DrawnCard(
                index=index,
                seed=ordered.seeds[index],
                label=drawn.kinds[index],
                media_type=f"image/{format}",
                width=width,
                height=height,
                b64_json=base64.b64encode(file).decode(),
            )
            for index, file in enumerate(files)
        ],
    )
