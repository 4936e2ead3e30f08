"""Every refusal and failure as an RFC 9457 problem: what is wrong, and what to do about it.

Nothing of a request is ever echoed, and nothing of an exception that was not written for the client.
"""

import logging
import math
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus

from fastapi import FastAPI, Request, Response
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from serving import timings
from serving.backend import (
    RETRY_AFTER,
    BackendError,
    DeadlineExceeded,
    Draining,
    NotReady,
    Overloaded,
    Unavailable,
)
from serving.bodies import Fault, Problem
from serving.contract import MAX_ROWS
from serving.methods import allowed, asks_of_all

MEDIA_TYPE = "application/problem+json"

# A pointer may name an unknown field only where it is a plain word, as a slip of the pen is.
PLAIN_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,31}")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Kind:
    """One sort of problem: the last part of its type URI, its status, its title, and how to cure it."""

    name: str
    status: int
    title: str
    cure: str = ""

    @property
    def type(self) -> str:
        """The address where the cure is told; RFC 9457 has another for what says no more than its status."""
        return f"/problems/{self.name}" if self.name else "about:blank"


MALFORMED_REQUEST = Kind(
    "malformed-request",
    400,
    "The request cannot be read",
    "The gateway could not read this as an HTTP/1.1 request: for example, the Host header is missing, or "
    "two headers disagree about the length of the body. Send the request with an HTTP library or curl "
    "instead of writing it by hand.",
)
MALFORMED_QUERY = Kind(
    "malformed-query",
    400,
    "The query cannot be read",
    "Something after the question mark in the address is not encoded correctly: a percent sign must be "
    "followed by two hexadecimal digits, and the bytes must form valid UTF-8. Let your HTTP library encode "
    "the parameters.",
)
MALFORMED_BODY = Kind(
    "malformed-body",
    400,
    "The body cannot be read",
    "The body is damaged or incomplete. JSON must be a single object in UTF-8. A multipart form must name "
    "its boundary in Content-Type and end with that boundary. Let your HTTP library build the body, and "
    "send all of it.",
)
UNAUTHENTICATED = Kind(
    "unauthenticated",
    401,
    "A key is needed",
    "This gateway requires an API key, and the request carried none that it knows. Send the key as "
    "Authorization: Bearer KEY or as X-API-Key: KEY. Keys come from whoever runs this gateway.",
)
FORBIDDEN = Kind(
    "forbidden",
    403,
    "This key may not do that",
    "The API key is valid, but lacks the right that this request needs; the detail lists what the key may "
    "do. Ask whoever runs this gateway for a key with that right.",
)
FORBIDDEN_ORIGIN = Kind(
    "forbidden-origin",
    403,
    "This site may not call the gateway",
    "A web page asked to call this gateway from a visitor's browser, and its site is not allowed to, or not "
    "with this method or these headers; the detail says which. Whoever runs the gateway can allow the site "
    "with the setting HOLOFOIL_ORIGINS.",
)
NOT_FOUND = Kind(
    "not-found",
    404,
    "There is nothing at this address",
    "There is nothing at this address. Check it for typing errors: /openapi.json lists every address of "
    "this gateway.",
)
METHOD_NOT_ALLOWED = Kind(
    "method-not-allowed",
    405,
    "This address has no such method",
    "The address exists, but not for the method of this request (GET, POST and so on). Use one of the "
    "methods listed in the Allow header of the answer.",
)
NOT_ACCEPTABLE = Kind(
    "not-acceptable",
    406,
    "No answer fits the Accept header",
    "The Accept header names no format that this address can produce. The detail lists the formats it has: "
    "ask for one of them, or send Accept: */*. Several cards do not fit into one image file; ask for JSON, "
    "a ZIP or a contact sheet instead.",
)
REQUEST_TIMEOUT = Kind(
    "request-timeout",
    408,
    "The request came too slowly",
    "The request line and headers did not arrive in time, so the gateway closed the connection. Send them "
    "all at once, and check the network between you and the gateway.",
)
BODY_TIMEOUT = Kind(
    "body-timeout",
    408,
    "The body came too slowly",
    "The body did not arrive completely within the time that the detail states. Send fewer or smaller "
    "files, or use a faster connection.",
)
PRECONDITION_FAILED = Kind(
    "precondition-failed",
    412,
    "If-Match names another card",
    "The request's If-Match header does not match the current ETag of the card: newer models may have been "
    "published, which draw this card differently. Repeat the request without If-Match; the answer carries "
    "the current ETag.",
)
TOO_LARGE = Kind(
    "too-large",
    413,
    "The request is too large",
    "The body, or a file in it, is larger than the gateway accepts; the detail states the limit. Send fewer "
    "or smaller files, or split the request into several.",
)
UNSUPPORTED_MEDIA_TYPE = Kind(
    "unsupported-media-type",
    415,
    "This content type is not supported",
    "The Content-Type of the body is not one that this address reads, or the body is compressed. Send it "
    "uncompressed, as one of the types listed in the Accept-Post header of the answer, or as the detail "
    "says.",
)
UNSUPPORTED_IMAGE = Kind(
    "unsupported-image",
    415,
    "This image format is not supported",
    "The file is not in an image format that the gateway reads. It looks at the content of the file, so "
    "renaming it does not help. Save the picture as PNG, JPEG or WebP.",
)
VALIDATION = Kind(
    "validation",
    422,
    "The request breaks a rule",
    "The gateway could read the request, but a value in it is missing, unknown or not allowed. Each entry "
    "of errors says which one (pointer) and why (detail). Correct these and send the request again; "
    "/openapi.json describes all fields and their limits.",
)
IMAGE_CORRUPT = Kind(
    "image-corrupt",
    422,
    "The image is damaged",
    "The image file is damaged or was not transferred completely. Open it to check it, then save or "
    "download it again.",
)
IMAGE_ANIMATED = Kind(
    "image-animated",
    422,
    "The image is animated",
    "The file holds several frames, and only still images can be scored. Save one frame as an image of its "
    "own and send that.",
)
IMAGE_DIMENSIONS = Kind(
    "image-dimensions",
    422,
    "The image has the wrong size",
    "The image is too large or too small: it may have at most 16 million pixels, and each side needs at "
    "least 8. Scale it and send it again.",
)
RATE_LIMITED = Kind(
    "rate-limited",
    429,
    "Too many cards in too short a time",
    "You have used up the cards that your key or address may ask for in this period. Wait for the number of "
    "seconds in Retry-After, then send the request again. The RateLimit header says how many cards are "
    "left.",
)
HEAD_TOO_LARGE = Kind(
    "head-too-large",
    431,
    "The request's headers are too large",
    "The request line and headers together exceed the limit that the detail states. Send fewer or shorter "
    "headers and cookies.",
)
INTERNAL = Kind(
    "internal",
    500,
    "The gateway failed",
    "The gateway failed because of an error in its own code; nothing is wrong with your request. Report it "
    "to whoever runs the gateway, with the id in the field instance: the gateway's log gives the reason "
    "under that id.",
)
UNKNOWN_CODING = Kind(
    "unknown-coding",
    501,
    "This transfer coding is not supported",
    "The gateway reads a body sent with its Content-Length or with Transfer-Encoding: chunked, and no other "
    "transfer coding, such as gzip. Remove the other coding and send the request again.",
)
BACKEND_ERROR = Kind(
    "backend-error",
    502,
    "The models gave a wrong answer",
    "The gateway cannot use what the models answered; the detail says why. Most often the models do not "
    "match this release of the gateway, and sending the request again does not help. Whoever runs the "
    "gateway should run holofoil export again, or go back to the previous version of the models.",
)
NOT_READY = Kind(
    "not-ready",
    503,
    "The models are not ready",
    "The models are still loading, were just replaced, or have not been exported yet; the detail says "
    "which. Send the request again after the number of seconds in Retry-After. If this lasts, tell whoever "
    "runs the gateway.",
)
OVERLOADED = Kind(
    "overloaded",
    503,
    "There is more work than can be done in time",
    "The gateway is busy and refuses at once what it could not finish in time. Nothing is wrong with your "
    "request. Send it again after the number of seconds in Retry-After, or ask for fewer cards at once. If "
    "it carries Prefer: wait=N, a larger N allows more time.",
)
DRAINING = Kind(
    "draining",
    503,
    "The gateway is shutting down",
    "This gateway is shutting down, most often because it is being restarted or replaced. Send the request "
    "again after the number of seconds in Retry-After.",
)
BACKEND_UNAVAILABLE = Kind(
    "backend-unavailable",
    503,
    "The models cannot answer at the moment",
    "The gateway runs, but its models cannot answer: the model server is down, restarting, too busy or out "
    "of memory. Send the request again after the number of seconds in Retry-After. If this lasts, tell "
    "whoever runs the gateway.",
)
DEADLINE_EXCEEDED = Kind(
    "deadline-exceeded",
    504,
    "The models took too long",
    "The cards were not finished before the request's deadline. Ask for fewer cards at once, try again "
    "later, or allow more time with the header Prefer: wait=N, in seconds (30 at most).",
)

KINDS = tuple(each for each in [*globals().values()] if isinstance(each, Kind))
"""All of the above, in their order."""

BACKEND_KINDS: dict[type[BackendError], Kind] = {
    NotReady: NOT_READY,
    Draining: DRAINING,
    Overloaded: OVERLOADED,
    Unavailable: BACKEND_UNAVAILABLE,
    DeadlineExceeded: DEADLINE_EXCEEDED,
}
"""Any other error of the models is BACKEND_ERROR."""

LONGEST_RETRY = 30
"""Most seconds that a client is asked to wait after a 503."""


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


def problem_of(refusal: Refusal, request_id: str) -> Problem:
    """Describe a refusal as the client reads it."""
    kind = refusal.kind
    return Problem(
        type=kind.type,
        title=kind.title,
        status=kind.status,
        detail=refusal.detail,
        instance=request_id,
        errors=list(refusal.errors),
    )


def answer(refusal: Refusal, request_id: str) -> Response:
    """Write a refusal as the response that the client gets, and note for the log which problem it is."""
    kind, problem = refusal.kind, problem_of(refusal, request_id)
    timings.current().problem = kind.name
    headers = {"Cache-Control": "no-store", **refusal.headers}
    if kind.status == HTTPStatus.SERVICE_UNAVAILABLE and "Retry-After" not in headers:
        headers["Retry-After"] = retry_after(RETRY_AFTER)
    return Response(problem.model_dump_json(), kind.status, headers, MEDIA_TYPE)


def internal(request_id: str) -> Response:
    """Answer a failure of our own, of which the client learns nothing but where to look."""
    return answer(
        Refusal(INTERNAL, "This is a fault of the gateway, not of your request. Its log has the reason."),
        request_id,
    )


def from_backend(error: BackendError) -> Refusal:
    """Turn a failure of the models into a refusal; their messages are written for clients."""
    kind = next((kind for sort, kind in BACKEND_KINDS.items() if isinstance(error, sort)), BACKEND_ERROR)
    passing = kind.status == HTTPStatus.SERVICE_UNAVAILABLE
    headers = {"Retry-After": retry_after(error.retry_after)} if passing else None
    return Refusal(kind, str(error), headers=headers)


def retry_after(seconds: float) -> str:
    """Write Retry-After: up to a fifth more than is needed, so that clients refused together come apart."""
    waited = min(max(seconds, 1), LONGEST_RETRY)
    return str(math.ceil(waited * random.uniform(1, 1.2)))


def from_validation(error: ValidationError) -> Refusal:
    """Turn pydantic's findings in a JSON body or a query into a refusal with at most MAX_ROWS faults."""
    found = error.errors(include_url=False, include_context=False, include_input=False)[:MAX_ROWS]
    if any(fault["type"] == "json_invalid" for fault in found):
        return Refusal(
            MALFORMED_BODY,
            "The body cannot be read as JSON. Send one plain object in UTF-8, or no body at all.",
        )
    return invalid(*(fault_at(fault["loc"], fault["type"], fault["msg"]) for fault in found))


def invalid(*faults: Fault) -> Refusal:
    """Refuse a request for the rules that it breaks, each named in words too."""
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
    # What pydantic says of a list that is too short; a client knows of no validation.
    words = message.replace(" after validation", "")
    return Fault(pointer="".join(f"/{part}" for part in location), code=code, detail=f"{words}.")


def from_http(error: HTTPException) -> Refusal:
    """Turn a refusal of the framework's into one of ours, without its text."""
    if error.status_code == HTTPStatus.NOT_FOUND:
        return Refusal(NOT_FOUND, "There is nothing at this address. /openapi.json lists what there is.")
    status = HTTPStatus(error.status_code)
    kind = Kind("", status.value, status.phrase)
    return Refusal(kind, "The request was refused. /openapi.json says what this address expects.")


def install(app: FastAPI) -> None:
    """Make every exception that a request may end with into a problem."""

    async def refuse(request: Request, error: Exception) -> Response:
        match error:
            case Refusal():
                refusal = error
            case BackendError():
                refusal = from_backend(error)
                if not isinstance(error, Overloaded):  # of which there are too many for a line each
                    logger.warning("%s: %s", refusal.kind.name, error)
            case HTTPException(status_code=HTTPStatus.METHOD_NOT_ALLOWED):
                headers = {"Allow": allowed(request)}
                if request.method == "OPTIONS":
                    return Response(status_code=204, headers=headers)
                refusal = Refusal(METHOD_NOT_ALLOWED, f"Use {headers['Allow']} here.", headers=headers)
            case HTTPException() if asks_of_all(request):
                return Response(status_code=204)
            case HTTPException():
                refusal = from_http(error)
            case _:  # ClientDisconnect: nobody reads this
                return Response(status_code=499)
        return answer(refusal, request.state.request_id)

    for error in (Refusal, BackendError, HTTPException, ClientDisconnect):
        app.add_exception_handler(error, refuse)
