"""GET /generate: one card under an address of its own, which browsers and caches may keep."""

from fastapi import APIRouter, Request, Response
from starlette.datastructures import Headers

from serving import etag, noise, order
from serving.access import MayGenerate
from serving.bodies import CardQuery
from serving.drawing import card_headers, draw, encode, encoding_wait, quality_of
from serving.gateway import gateway_of
from serving.openapi import IMAGES, WAIT, WORK, header, parameters, refusals, response_headers
from serving.patience import deadline_of
from serving.problems import PRECONDITION_FAILED, Refusal
from serving.query import read_query

KEPT = "max-age=86400"
"""A day: the card never changes, yet other models may be exported."""

KNOWN = ("ETag", "Cache-Control", "X-Model-Version", "Preference-Applied", *WORK)

router = APIRouter()


@router.head("/generate", include_in_schema=False)
@router.get(
    "/generate",
    operation_id="card",
    summary="Fetch one card",
    response_class=Response,
    responses={
        200: {
            "description": "The image file.",
            "content": IMAGES,
            "headers": response_headers(*KNOWN, "X-Seed", "X-Label", "Content-Disposition"),
        },
        304: {"description": "If-None-Match names this card.", "headers": response_headers(*KNOWN)},
        **refusals(401, 403, 412, 422, 429, 502, 504),
    },
    openapi_extra={
        "parameters": [
            *parameters(CardQuery),
            header("If-Match", "The ETag of the card that you mean; another one is 412."),
            header("If-None-Match", "ETags of cards you have."),
            WAIT,
        ]
    },
)
async def card(request: Request, caller: MayGenerate) -> Response:
    """Draw the card of a seed, as POST /generate does, for `<img>` and caches. The address alone decides.

    A client that sends the card's ETag in If-None-Match costs no inference, nor one that means another card
    by If-Match, nor does HEAD, which leaves out the length.
    """
    query = read_query(request, CardQuery)
    quality = quality_of(query.quality, query.format, "/quality")
    deadline, gateway = deadline_of(request), gateway_of(request)
    info = await gateway.batcher.info(deadline=deadline)
    labels = order.labels_of(query.label, query.seed, 1, info)
    kind = None if labels is None else info.classes[int(labels[0])]

    def tag(version: str) -> str:
        label = "" if labels is None else int(labels[0])
        return f'"{version}-{query.seed}-{query.truncation}-{label}-{query.format}-{quality}"'

    reach = "private" if caller.by_key else "public"  # a shared cache would answer those without a key too
    headers = {
        "ETag": tag(info.version),
        "Cache-Control": f"{reach}, {KEPT}",
        "X-Model-Version": info.version,
    }
    refuse_another(request.headers, headers["ETag"])
    if etag.is_known(request.headers, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    headers |= {"X-Seed": str(query.seed)} | card_headers(str(query.seed), kind, query.format)
    media_type = f"image/{query.format}"
    if request.method == "HEAD":
        response = Response(headers=headers, media_type=media_type)
        del response.headers["Content-Length"]
        return response
    with gateway.batcher.drawing(1, deadline, encoding_wait(gateway, query.format)) as ask:
        rows = noise.draw(query.seed, 1, info.noise_size, query.truncation)
        drawn = await draw(ask, info, rows, labels)
    (file,) = await encode(gateway, drawn.cards, query.format, quality)
    headers |= {"ETag": tag(drawn.version), "X-Model-Version": drawn.version}
    refuse_another(request.headers, headers["ETag"])  # where the models were replaced meanwhile
    return Response(file, 200, headers, media_type)


def refuse_another(asked: Headers, tag: str) -> None:
    """Raise Refusal where a client means another card than the one of this tag."""
    if not etag.is_meant(asked, tag):
        raise Refusal(PRECONDITION_FAILED, "This card has another ETag than If-Match says. Ask without it.")
