"""A request that ends without what it asked for: every refusal and failure as an RFC 9457 problem.

Nothing of a request is ever echoed, and nothing of an exception that was not written for the client.
"""

import logging
import math
import random
import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus

from fastapi import FastAPI, Request, Response
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from serving import problems, timings
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
from serving.exchange import CLIENT_GONE
from serving.methods import allowed, asks_of_all
from serving.problems import Kind

# A pointer may name an unknown field only where it is a plain word, as a slip of the pen is.
PLAIN_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,31}")

logger = logging.getLogger(__name__)

BACKEND_KINDS: dict[type[BackendError], Kind] = {
    NotReady: problems.NOT_READY,
    Draining: problems.DRAINING,
    Overloaded: problems.OVERLOADED,
    Unavailable: problems.BACKEND_UNAVAILABLE,
    DeadlineExceeded: problems.DEADLINE_EXCEEDED,
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
    return Response(problem.model_dump_json(), kind.status, headers, problems.MEDIA_TYPE)


def internal(request_id: str) -> Response:
    """Answer a failure of our own, of which the client learns nothing but where to look."""
    detail = "This is a fault of the gateway, not of your request. Its log has the reason."
    return answer(Refusal(problems.INTERNAL, detail), request_id)


def from_backend(error: BackendError) -> Refusal:
    """Turn a failure of the models into a refusal; their messages are written for clients."""
    known = (kind for sort, kind in BACKEND_KINDS.items() if isinstance(error, sort))
    kind = next(known, problems.BACKEND_ERROR)
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
            problems.MALFORMED_BODY,
            "The body cannot be read as JSON. Send one plain object in UTF-8, or no body at all.",
        )
    return invalid(*(fault_at(fault["loc"], fault["type"], fault["msg"]) for fault in found))


def invalid(*faults: Fault) -> Refusal:
    """Refuse a request for the rules that it breaks, each named in words too."""
    words = [f"{fault.pointer.removeprefix('/')}: {fault.detail}".removeprefix(": ") for fault in faults]
    return Refusal(problems.VALIDATION, " ".join(words), faults)


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
        detail = "There is nothing at this address. /openapi.json lists what there is."
        return Refusal(problems.NOT_FOUND, detail)
    status = HTTPStatus(error.status_code)
    kind = Kind("", status.value, status.phrase)
    return Refusal(kind, "The request was refused. /openapi.json says what this address expects.")


def install(app: FastAPI) -> None:
    """Have every exception that may end a request answered with a problem."""
    for error in (Refusal, BackendError, HTTPException, ClientDisconnect):
        app.add_exception_handler(error, respond)


async def respond(request: Request, error: Exception) -> Response:
    """Answer a request that an exception has ended."""
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
            refusal = Refusal(problems.METHOD_NOT_ALLOWED, f"Use {headers['Allow']} here.", headers=headers)
        case HTTPException() if asks_of_all(request):
            return Response(status_code=204)
        case HTTPException():
            refusal = from_http(error)
        case _:  # ClientDisconnect: nobody reads this
            return Response(status_code=CLIENT_GONE)
    return answer(refusal, request.state.request_id)
