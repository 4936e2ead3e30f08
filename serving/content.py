"""The body of a request: the media type that it claims, and its JSON, read and checked."""

from collections.abc import Sequence
from typing import TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError

from serving import problems
from serving.limits import has_body
from serving.refusals import Refusal, from_validation

JSON = "application/json"

MAX_JSON = 64 * 1024
"""Largest JSON body, in bytes: 16 rows of 128 numbers, each with 17 digits, sign, exponent, comma and space,
are 54 KiB.
"""

Body = TypeVar("Body", bound=BaseModel)


async def read_json(request: Request, model: type[Body]) -> Body:
    """Read a JSON body as a model; no body at all is {}. Raises Refusal for one that breaks a rule."""
    if not has_body(request.headers):
        return validated(model, b"{}")
    require_media_type(request, [JSON], "Send a JSON object as application/json.")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_JSON:
            raise Refusal(problems.TOO_LARGE, f"A JSON body may have at most {MAX_JSON:,} bytes. Send less.")
    return validated(model, bytes(body) or b"{}")


def validated(model: type[Body], body: bytes) -> Body:
    """Check a JSON text against a model; raise Refusal with what is wrong."""
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise from_validation(error) from None


def require_media_type(request: Request, expected: Sequence[str], advice: str) -> str:
    """Return the media type that the body claims; raise Refusal unless it is one that is read here."""
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise Refusal(
            problems.UNSUPPORTED_MEDIA_TYPE,
            "Compressed bodies are not supported. Send the body uncompressed.",
            headers={"Accept-Encoding": "identity"},  # RFC 9110, 12.5.3
        )
    claimed = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if claimed not in expected:
        raise Refusal(problems.UNSUPPORTED_MEDIA_TYPE, advice, headers={"Accept-Post": ", ".join(expected)})
    return claimed
