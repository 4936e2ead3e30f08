"""GET /problems/<name>: what a problem means and how to cure it, at the address that is its type."""

from html import escape

from fastapi import APIRouter, Request, Response

from serving import accept
from serving.bodies import Explanation
from serving.content import JSON
from serving.openapi import refusals, response_headers
from serving.problems import KINDS, NOT_FOUND
from serving.refusals import Refusal

BY_NAME = {kind.name: kind for kind in KINDS}

NAME = {
    "name": "name",
    "in": "path",
    "required": True,
    "description": "The last part of the problem's type.",
    "schema": {"type": "string", "enum": [*BY_NAME]},
}

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="stylesheet" href="/page/page.css">
<h1>{title}</h1>
<section>
<p>{cure}</p>
<p class="hint">Status {status}, type {type}. <a href="/openapi.json">What there is</a></p>
</section>
"""

router = APIRouter()


@router.head("/problems/{name}", include_in_schema=False)
@router.get(
    "/problems/{name}",
    operation_id="problem",
    summary="Explain a problem",
    response_model=Explanation,
    responses={
        200: {
            "description": "What the problem means and how to cure it.",
            "content": {"text/html": {"schema": {"type": "string"}}},
            "headers": response_headers("Cache-Control", "Vary"),
        },
        **refusals(404, 406),
    },
    openapi_extra={"parameters": [NAME]},
)
async def problem(request: Request) -> Response:
    """Explain a type of problem, in words for people and as JSON."""
    kind = BY_NAME.get(request.path_params["name"])
    if kind is None:
        raise Refusal(NOT_FOUND, "There is no such problem. /openapi.json lists those there are.")
    media_type = accept.choose(request.headers, [JSON, "text/html"])
    explanation = Explanation(type=kind.type, title=kind.title, status=kind.status, cure=kind.cure)
    headers = {"Vary": "Accept"}
    if media_type == JSON:
        return Response(explanation.model_dump_json(), 200, headers, JSON)
    words = {name: escape(str(value)) for name, value in explanation.model_dump().items()}
    return Response(PAGE.format(**words), 200, headers, media_type)
