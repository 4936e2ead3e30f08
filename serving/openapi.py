"""What the OpenAPI document says beyond the routes' own declarations: bodies, queries, headers, problems."""

from collections.abc import Sequence
from http import HTTPStatus
from importlib.metadata import version
from typing import Any, get_args

from fastapi import FastAPI
from fastapi.telemetry import TelemetryConfig
from pydantic import BaseModel
from starlette.types import Lifespan

from serving import cards
from serving.bodies import Fault, GenerateBody, MorphBody, Problem
from serving.content import JSON
from serving.problems import KINDS, MEDIA_TYPE, Kind
from serving.refusals import Refusal, problem_of

FILE = {"type": "string", "format": "binary"}
IMAGES = {f"image/{format}": {"schema": FILE} for format in get_args(cards.Format)}

EXTRA = (GenerateBody, MorphBody, Problem, Fault)
"""Models that FastAPI does not meet, since no route takes or returns them by its signature."""

HEADERS = {
    name: {"description": description, "schema": {"type": "string"}}
    for name, description in {
        "Accept-Encoding": "identity, where the body was compressed.",
        "Accept-Post": "The media types of bodies that are read here.",
        "Allow": "The methods of this address.",
        "Cache-Control": "Whether and how long this may be kept.",
        "Content-Disposition": "A name for the file.",
        "ETag": "Names this card; send it back in If-None-Match, or in If-Match.",
        "Preference-Applied": "What Prefer asked for and got: wait in seconds, handling=lenient.",
        "RateLimit": "Cards left, and in how many seconds there are more, where there is a rate.",
        "RateLimit-Policy": "The rate: q cards in w seconds.",
        "Retry-After": "Seconds to wait before asking again.",
        "Server-Timing": "Milliseconds by stage, as far as it was met: queue, decode, infer, encode.",
        "Vary": "The request's headers that the answer depends on.",
        "WWW-Authenticate": "How to bring a key.",
        "X-Label": "The kind of the card, percent-encoded, where the models know kinds.",
        "X-Model-Version": "The version of the model that answered.",
        "X-Request-ID": "The request's own X-Request-ID, or one made for it; the gateway's log has it.",
        "X-Seed": "The seed of the first card.",
    }.items()
}

RATES = ("RateLimit", "RateLimit-Policy")
WORK = ("Server-Timing", *RATES)
"""Of every answer of a route whose cards are counted."""

PROBLEM_HEADERS = {
    401: ("WWW-Authenticate",),
    403: ("WWW-Authenticate",),
    405: ("Allow",),
    406: ("Vary",),
    415: ("Accept-Encoding", "Accept-Post"),
    429: ("Retry-After",),
    503: ("Retry-After",),
}

ANYWHERE = (400, 408, 413, 431, 500, 501, 503)
"""What any request may be answered with: for its head, its body, lack of room, or a fault of ours."""

KEY_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}


class Holofoil(FastAPI):
    """FastAPI whose document also has the schemas that only bodies and refusals use, and the keys."""

    def __init__(self, lifespan: "Lifespan[Holofoil]", telemetry: TelemetryConfig) -> None:
        super().__init__(
            title="Holofoil",
            summary="Trading cards from a GAN, and what its discriminator thinks of yours.",
            version=version("holofoil"),
            lifespan=lifespan,
            redirect_slashes=False,  # such a redirect would lead wherever the Host header says
            docs_url=None,  # FastAPI's documentation pages load their scripts from a CDN
            redoc_url=None,
            telemetry=telemetry,
        )

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document. It is made once, which takes 5 ms of the event loop."""
        if self.openapi_schema is not None:
            return self.openapi_schema
        document = super().openapi()
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        for model in EXTRA:
            schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
            schema.pop("$defs", None)
            schemas[model.__name__] = schema
        if self.state.access.keys is not None:
            document["components"]["securitySchemes"] = KEY_SCHEMES
            for operation in (
                operation for path in document["paths"].values() for operation in path.values()
            ):
                if "401" in operation["responses"]:
                    operation["security"] = [{name: []} for name in KEY_SCHEMES]
        return document


def response_headers(*names: str) -> dict[str, Any]:
    """Describe the headers of an answer; each has its request's id."""
    return {name: HEADERS[name] for name in ("X-Request-ID", *names)}


def file_content(media_types: Sequence[str]) -> dict[str, Any]:
    """Describe content that is a file."""
    return {media_type: {"schema": FILE} for media_type in media_types}


def json_body(model: type[BaseModel], examples: dict[str, Any], *, required: bool) -> dict[str, Any]:
    """Describe a JSON body; examples are bodies by their titles."""
    named = {
        words.lower().replace(" ", "-"): {"summary": words, "value": body} for words, body in examples.items()
    }
    schema = {"$ref": f"#/components/schemas/{model.__name__}"}
    return {"requestBody": {"required": required, "content": {JSON: {"schema": schema, "examples": named}}}}


def header(name: str, description: str) -> dict[str, Any]:
    """Describe an optional header of a request."""
    return {
        "name": name,
        "in": "header",
        "required": False,
        "description": description,
        "schema": {"type": "string"},
    }


WAIT = header(
    "Prefer", "wait=5 is how many seconds you wait for the models, 30 at most; who waits in vain gets 504."
)


def parameters(query: type[BaseModel]) -> list[dict[str, Any]]:
    """Describe the parameters of a query. None is null there: it is left out."""
    schema = query.model_json_schema()
    return [
        {
            "name": name,
            "in": "query",
            "required": name in schema.get("required", []),
            "description": field["description"],
            "schema": field["anyOf"][0] if "anyOf" in field else field,
        }
        for name, field in schema["properties"].items()
    ]


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe the problems that a route may answer with besides those of ANYWHERE, each with an example."""
    found = sorted({*ANYWHERE, *statuses})
    always = WORK if 429 in statuses else ()
    return {status: refusal([kind for kind in KINDS if kind.status == status], always) for status in found}


def refusal(kinds: Sequence[Kind], always: Sequence[str]) -> dict[str, Any]:
    """Describe the problems of one status; `always` are headers of the route, whatever it answers."""
    examples = {
        kind.name: {"summary": kind.title, "value": problem_of(Refusal(kind, kind.cure), "7f3a").model_dump()}
        for kind in kinds
    }
    schema = {"$ref": f"#/components/schemas/{Problem.__name__}"}
    status = kinds[0].status
    return {
        "description": f"{HTTPStatus(status).phrase}. "
        + " ".join(f"`{kind.name}`: {kind.title}." for kind in kinds),
        "headers": response_headers("Cache-Control", *PROBLEM_HEADERS.get(status, ()), *always),
        "content": {MEDIA_TYPE: {"schema": schema, "examples": examples}},
    }
