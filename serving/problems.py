"""Every refusal and failure as an RFC 9457 problem: what is wrong, and what to do about it.

Nothing of a request is ever echoed, and nothing of an exception that was not written for the client.
"""

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus

from fastapi import FastAPI, Request, Response
from pydantic import BaseModel, Field, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from serving.backend import BackendError, BadAnswer, DeadlineExceeded, NotReady, Unavailable
from serving.contract import MAX_ROWS

MEDIA_TYPE = "application/problem+json"

# A pointer may name an unknown field only where it is a plain word, as a slip of the pen is.
PLAIN_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,31}")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Kind:
    """One sort of problem: the last part of its type URI, its status and its title."""

    name: str
    status: int
    title: str


MALFORMED_BODY = Kind("malformed-body", 400, "The body cannot be read")
NOT_FOUND = Kind("not-found", 404, "Nothing is here")
METHOD_NOT_ALLOWED = Kind("method-not-allowed", 405, "This address has no such method")
NOT_ACCEPTABLE = Kind("not-acceptable", 406, "No answer fits the Accept header")
BODY_TIMEOUT = Kind("body-timeout", 408, "The body came too slowly")
TOO_LARGE = Kind("too-large", 413, "The request is too large")
UNSUPPORTED_MEDIA_TYPE = Kind("unsupported-media-type", 415, "This content type is not read here")
UNSUPPORTED_IMAGE = Kind("unsupported-image", 415, "This image format is not read")
VALIDATION = Kind("validation", 422, "The request breaks a rule")
IMAGE_CORRUPT = Kind("image-corrupt", 422, "The image is damaged")
IMAGE_ANIMATED = Kind("image-animated", 422, "The image is animated")
IMAGE_DIMENSIONS = Kind("image-dimensions", 422, "The image has the wrong size")
INTERNAL = Kind("internal", 500, "The gateway failed")
BACKEND_ERROR = Kind("backend-error", 502, "The models gave a wrong answer")
OVERLOADED = Kind("overloaded", 503, "The gateway has more work than it can hold")
NOT_READY = Kind("not-ready", 503, "The models are not ready")
BACKEND_UNAVAILABLE = Kind("backend-unavailable", 503, "The model server cannot be reached")
DEADLINE_EXCEEDED = Kind("deadline-exceeded", 504, "The models took too long")

BACKEND_KINDS: dict[type[BackendError], Kind] = {
    NotReady: NOT_READY,
    Unavailable: BACKEND_UNAVAILABLE,
    DeadlineExceeded: DEADLINE_EXCEEDED,
    BadAnswer: BACKEND_ERROR,
}

RETRY_AFTER = "2"
"""Seconds a client should wait after a 503."""


class Fault(BaseModel):
    """One broken rule."""

    pointer: str = Field(description="JSON pointer to the field, or /files/<index> for an upload.")
    code: str = Field(description="The broken rule, for programs.")
    detail: str = Field(description="The broken rule, in words.")


class Problem(BaseModel):
    """RFC 9457 problem details."""

    type: str = Field(description="/problems/<name>; programs should decide by this.")
    title: str
    status: int
    detail: str = Field(description="What is wrong with this request and what to do.")
    instance: str = Field(description="The request's X-Request-ID, by which the gateway's log knows it.")
    errors: list[Fault] = Field(description="Every broken rule that was found; often empty.")


class Refusal(Exception):
    """Ends a request with a problem. The detail is for the client: what is wrong and what to do."""

    def __init__(
        self, kind: Kind, detail: str, errors: Sequence[Fault] = (), headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.errors = errors
        self.headers = dict(headers or {})


def answer(refusal: Refusal, request_id: str) -> Response:
    """Write a refusal as the response that the client gets."""
    kind = refusal.kind
    problem = Problem(
        type=f"/problems/{kind.name}",
        title=kind.title,
        status=kind.status,
        detail=refusal.detail,
        instance=request_id,
        errors=list(refusal.errors),
    )
    headers = dict(refusal.headers)
    if kind.status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = RETRY_AFTER
    return Response(problem.model_dump_json(), kind.status, headers, MEDIA_TYPE)


def internal(request_id: str) -> Response:
    """Answer a failure of our own, of which the client learns nothing but where to look."""
    return answer(
        Refusal(INTERNAL, "This is a fault of the gateway, not of your request. Its log has the reason."),
        request_id,
    )


def from_backend(error: BackendError) -> Refusal:
    """Turn a failure of the models into a refusal; their messages are written for clients."""
    kinds = [kind for sort, kind in BACKEND_KINDS.items() if isinstance(error, sort)]
    return Refusal(kinds[0] if kinds else BACKEND_ERROR, str(error))


def from_validation(error: ValidationError) -> Refusal:
    """Turn pydantic's findings in a JSON body into a refusal with at most MAX_ROWS faults."""
    found = error.errors(include_url=False, include_context=False, include_input=False)[:MAX_ROWS]
    if any(fault["type"] == "json_invalid" for fault in found):
        return Refusal(
            MALFORMED_BODY,
            "The body cannot be read as JSON. Send one plain object in UTF-8, or no body at all.",
        )
    faults = [fault_at(fault["loc"], fault["type"], fault["msg"]) for fault in found]
    words = [f"{fault.pointer.removeprefix('/')}: {fault.detail}".removeprefix(": ") for fault in faults]
    return Refusal(VALIDATION, " ".join(words), faults)


def fault_at(location: tuple[int | str, ...], code: str, message: str) -> Fault:
    """Name one broken rule without repeating what was sent."""
    if code == "extra_forbidden":
        pointer = "".join(f"/{part}" for part in location if PLAIN_WORD.fullmatch(str(part)))
        return Fault(
            pointer=pointer, code=code, detail="There is no such field. /openapi.json lists the fields."
        )
    if not location:
        return Fault(pointer="", code=code, detail="The body must be a JSON object.")
    return Fault(pointer="".join(f"/{part}" for part in location), code=code, detail=f"{message}.")


def from_http(error: HTTPException) -> Refusal:
    """Turn a refusal of the framework into one of ours, without its text."""
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.NOT_FOUND:
        return Refusal(NOT_FOUND, "There is nothing at this address. /openapi.json lists what there is.")
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers.setdefault("Allow", "GET, HEAD")  # StaticFiles refuses without saying what it allows
        return Refusal(METHOD_NOT_ALLOWED, f"Use {headers['Allow']} here.", headers=headers)
    status = HTTPStatus(error.status_code)
    kind = Kind(status.phrase.lower().replace(" ", "-"), status.value, status.phrase)
    return Refusal(
        kind, "The request was refused. /openapi.json says what this address expects.", (), headers
    )


def install(app: FastAPI) -> None:
    """Make every exception that a request may end with into a problem."""

    async def refuse(request: Request, error: Exception) -> Response:
        match error:
            case Refusal():
                refusal = error
            case BackendError():
                refusal = from_backend(error)
                logger.warning("%s: %s: %s", request.state.request_id, refusal.kind.name, error)
            case HTTPException():
                refusal = from_http(error)
            case _:  # ClientDisconnect: nobody reads this
                return Response(status_code=499)
        return answer(refusal, request.state.request_id)

    for error in (Refusal, BackendError, HTTPException, ClientDisconnect):
        app.add_exception_handler(error, refuse)
