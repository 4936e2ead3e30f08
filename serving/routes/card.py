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
from serving.problems import PRECONDITION_FAILED
from serving.query import read_query
from serving.refusals import Refusal

KEPT = "max-age=86400"
"""A day: a card never changes, but other models may be published."""

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
    label = None if labels is None else int(labels[0])
    drawn_from = f"{query.seed}-{query.truncation}-{'' if label is None else label}-{query.format}-{quality}"

    def versioned(version: str) -> dict[str, str]:
        return {"ETag": f'"{version}-{drawn_from}"', "X-Model-Version": version}

    reach = "private" if caller.by_key else "public"  # a shared cache would also answer those without a key
    headers = {"Cache-Control": f"{reach}, {KEPT}"} | versioned(info.version)
    refuse_another(request.headers, headers["ETag"])
    if etag.is_known(request.headers, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    kind = None if label is None else info.classes[label]
    headers |= {"X-Seed": str(query.seed)} | card_headers(str(query.seed), kind, query.format)
    media_type = f"image/{query.format}"
    if request.method == "HEAD":
        return without_length(Response(headers=headers, media_type=media_type))
    with gateway.batcher.drawing(1, deadline, encoding_wait(gateway, query.format)) as ask:
        rows = noise.draw(query.seed, 1, info.noise_size, query.truncation)
        drawn = await draw(ask, info, rows, labels)
    (file,) = await encode(gateway, drawn.cards, query.format, quality)
    headers |= versioned(drawn.version)
    refuse_another(request.headers, headers["ETag"])  # the models may have been replaced meanwhile
    return Response(file, 200, headers, media_type)


def without_length(response: Response) -> Response:
    """Return a response to HEAD without Content-Length, which is not known before the card is drawn."""
    del response.headers["Content-Length"]
    return response


def refuse_another(asked: Headers, tag: str) -> None:
    """Raise Refusal if the client means another card than that of this tag."""
    if not etag.is_meant(asked, tag):
        raise Refusal(PRECONDITION_FAILED, "This card has another ETag than If-Match says. Ask without it.")
