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
    "What came is not HTTP/1.1, or says two things about where it ends. Have a library write it.",
)
MALFORMED_QUERY = Kind(
    "malformed-query",
    400,
    "The query cannot be read",
    "A percent sign is not followed by two hexadecimal digits, or what they spell is not UTF-8. Have a "
    "library write the query.",
)
MALFORMED_BODY = Kind(
    "malformed-body",
    400,
    "The body cannot be read",
    "JSON must be one object in UTF-8. A multipart body needs its boundary in the Content-Type and the final "
    "boundary at its end. Have an HTTP client write it, and send it whole.",
)
UNAUTHENTICATED = Kind(
    "unauthenticated",
    401,
    "A key is needed",
    "Send Authorization: Bearer KEY, or X-API-Key: KEY. Whoever runs this gateway gives keys out.",
)
FORBIDDEN = Kind(
    "forbidden",
    403,
    "This key may not do that",
    "Each key has rights of its own. Ask whoever runs this gateway for one that may.",
)
FORBIDDEN_ORIGIN = Kind(
    "forbidden-origin",
    403,
    "This site may not call here",
    "Only pages of sites that HOLOFOIL_ORIGINS names may call this gateway, with methods and headers that it "
    "knows. Ask whoever runs it.",
)
NOT_FOUND = Kind(
    "not-found",
    404,
    "Nothing is here",
    "/openapi.json lists every address. Look for a slip of the pen in yours.",
)
METHOD_NOT_ALLOWED = Kind(
    "method-not-allowed", 405, "This address has no such method", "The Allow header names the methods it has."
)
NOT_ACCEPTABLE = Kind(
    "not-acceptable",
    406,
    "No answer fits the Accept header",
    "The detail lists what this can be answered as. Ask for one of them, or for */*. Several cards do not go "
    "into one image file, but into JSON, a ZIP or a sheet.",
)
REQUEST_TIMEOUT = Kind(
    "request-timeout", 408, "The request came too slowly", "Send the head of a request in one piece."
)
BODY_TIMEOUT = Kind(
    "body-timeout", 408, "The body came too slowly", "Send a smaller body, or the same over a faster line."
)
PRECONDITION_FAILED = Kind(
    "precondition-failed",
    412,
    "The card is another one",
    "If-Match does not name the ETag that this card has now: other models may have been published. Ask "
    "without it, and the answer has the card's ETag.",
)
TOO_LARGE = Kind(
    "too-large", 413, "The request is too large", "The detail names the limit. Send fewer or smaller files."
)
UNSUPPORTED_MEDIA_TYPE = Kind(
    "unsupported-media-type",
    415,
    "This content type is not read here",
    "The Accept-Post header lists the types that are. Bodies are read as they are, not compressed.",
)
UNSUPPORTED_IMAGE = Kind(
    "unsupported-image",
    415,
    "This image format is not read",
    "The bytes of a file decide, not its name. Save the picture as PNG, JPEG or WebP.",
)
VALIDATION = Kind(
    "validation",
    422,
    "The request breaks a rule",
    "The field errors names each broken rule and where it stands; /openapi.json has all rules.",
)
IMAGE_CORRUPT = Kind(
    "image-corrupt",
    422,
    "The image is damaged",
    "The file is cut short or broken. Save or download it again.",
)
IMAGE_ANIMATED = Kind("image-animated", 422, "The image is animated", "Send one still frame of it.")
IMAGE_DIMENSIONS = Kind(
    "image-dimensions",
    422,
    "The image has the wrong size",
    "16 million pixels are read at most, and each side needs 8 or more. Scale it.",
)
RATE_LIMITED = Kind(
    "rate-limited",
    429,
    "Too many cards in too short a time",
    "RateLimit says how many cards are left, and Retry-After in how many seconds there is room again.",
)
HEAD_TOO_LARGE = Kind(
    "head-too-large", 431, "The request's headers are too large", "Send fewer or shorter headers and cookies."
)
INTERNAL = Kind(
    "internal",
    500,
    "The gateway failed",
    "This is a fault of the gateway, not of the request. Its log has the reason under the id that instance "
    "holds.",
)
UNKNOWN_CODING = Kind(
    "unknown-coding",
    501,
    "This transfer coding is not read here",
    "Send the body as it is, with its length or in chunks: Transfer-Encoding may say no more than chunked.",
)
BACKEND_ERROR = Kind(
    "backend-error",
    502,
    "The models gave a wrong answer",
    "The models and the gateway do not fit each other. Whoever runs them should export the models again.",
)
NOT_READY = Kind(
    "not-ready",
    503,
    "The models are not ready",
    "They are being loaded, or there are none. Ask again after the seconds in Retry-After.",
)
OVERLOADED = Kind(
    "overloaded",
    503,
    "There is more work than can be done in time",
    "Ask again after the seconds in Retry-After; Prefer: wait=N asks for more time.",
)
DRAINING = Kind(
    "draining",
    503,
    "The gateway is about to end",
    "Another one may take its place. Ask again after the seconds in Retry-After.",
)
BACKEND_UNAVAILABLE = Kind(
    "backend-unavailable",
    503,
    "The model server cannot be reached",
    "It is restarting, or it has too much to do. Ask again after the seconds in Retry-After.",
)
DEADLINE_EXCEEDED = Kind(
    "deadline-exceeded", 504, "The models took too long", "Ask for fewer cards at once, or again later."
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
    return Fault(pointer="".join(f"/{part}" for part in location), code=code, detail=f"{message}.")


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
