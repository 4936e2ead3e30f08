"""POST /morph: cards that turn into each other, as a moving picture or as its frames."""

import numpy as np
from fastapi import APIRouter, Request, Response

from serving import accept, animation, archive, noise, order
from serving.access import MayGenerate
from serving.bodies import Fault, MorphBody
from serving.content import read_json
from serving.drawing import draw, encode, file_header, kind_header
from serving.file_names import morph_name
from serving.gateway import gateway_of
from serving.openapi import WAIT, WORK, file_content, json_body, refusals, response_headers
from serving.patience import deadline_of
from serving.query import refuse_query
from serving.refusals import invalid
from serving.timings import stage

MAX_FRAMES = 128
"""Most cards in one answer: eight full batches."""

FILES = [*animation.FORMATS, archive.MEDIA_TYPE]

router = APIRouter()


@router.post(
    "/morph",
    operation_id="morph",
    summary="Turn cards into each other",
    response_class=Response,
    responses={
        200: {
            "description": "The frames as a moving picture, or as PNG files in a ZIP. `Accept` decides.",
            "content": file_content(FILES),
            "headers": response_headers(
                "Cache-Control",
                "Vary",
                "X-Model-Version",
                "X-Label",
                "Content-Disposition",
                "Preference-Applied",
                *WORK,
            ),
        },
        **refusals(401, 403, 406, 415, 422, 429, 502, 504),
    },
    openapi_extra=json_body(
        MorphBody,
        {
            "Three cards and back": {"seeds": [7, 42, 3]},
            "One card to another, slowly": {
                "seeds": [7, 42],
                "frames": 40,
                "milliseconds": 100,
                "loop": False,
            },
        },
        required=True,
    )
    | {"parameters": [WAIT]},
)
async def morph(request: Request, caller: MayGenerate) -> Response:
    """Draw the cards between two or more seeds, along the sphere on which normal noise lies."""
    refuse_query(request, 'Say it in a JSON body, such as {"seeds": [7, 42]}.')
    body = await read_json(request, MorphBody)
    media_type = accept.choose(request.headers, FILES)
    check(body)
    deadline, gateway = deadline_of(request), gateway_of(request)
    with gateway.batcher.drawing(body.count, deadline, gateway.pixels.wait) as ask:
        await caller.take(body.count)
        info = await gateway.batcher.info(deadline=deadline)
        label = order.labels_of(body.label, body.seeds[0], 1, info)
        walk = (body.seeds, body.frames, info.noise_size, body.truncation, body.loop)
        rows = await gateway.pixels.work("walk", body.count, noise.walk, *walk)
        drawn = await draw(ask, info, rows, None if label is None else np.repeat(label, len(rows)))
    headers = {"Vary": "Accept", "X-Model-Version": drawn.version} | kind_header(drawn.kinds[0])
    if media_type == archive.MEDIA_TYPE:
        files = await encode(gateway, drawn.cards, "png", 0)
        numbered = {f"frame-{index:03}.png": file for index, file in enumerate(files)}
        packed = await gateway.pixels.work("pack", len(files), archive.pack, numbered)
        return Response(packed, 200, headers | file_header(morph_name(body.seeds, "zip")), media_type)
    format = animation.FORMATS[media_type]
    with stage("encode"):
        moving = await gateway.pixels.work(
            f"animate {format.name}",
            len(drawn.cards),
            *(animation.animate, drawn.cards, format, body.milliseconds, body.loop),
        )
    return Response(moving, 200, headers | file_header(morph_name(body.seeds, format.name)), media_type)


def check(body: MorphBody) -> None:
    """Raise Refusal for more frames than one answer may have."""
    if body.count > MAX_FRAMES:
        detail = f"These would be {body.count} frames, and {MAX_FRAMES} are drawn at once. Ask for fewer."
        raise invalid(Fault(pointer="/frames", code="too_many_frames", detail=detail))
