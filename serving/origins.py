"""CORS: which other sites' pages may call this gateway from a visitor's browser."""

from collections.abc import Collection
from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from serving.problems import FORBIDDEN_ORIGIN
from serving.refusals import Refusal, answer

METHODS = ("GET", "HEAD", "POST")
ASK_WITH = ("Authorization", "If-Match", "If-None-Match", "Prefer", "X-API-Key", "X-Request-ID")
"""Headers that a page may send besides those that every page may."""

READ = (
    "Content-Disposition",
    "ETag",
    "Preference-Applied",
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "Server-Timing",
    "X-Label",
    "X-Model-Version",
    "X-Request-ID",
    "X-Seed",
)
"""Headers of an answer that a page may read besides those that every page may."""


class Origins(CORSMiddleware):
    """Starlette's CORS for exact origins, without cookies; its refusals are problems like all others."""

    def __init__(self, app: ASGIApp, allowed: Collection[str]) -> None:
        super().__init__(
            app,
            allow_origins=allowed,
            allow_methods=METHODS,
            allow_headers=ASK_WITH,
            expose_headers=READ,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a preflight request of a page that may not call, and pass on everything else."""
        if scope["type"] == "http" and (refusal := self.refusal(scope["method"], Headers(scope=scope))):
            await answer(refusal, scope["state"]["request_id"])(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)

    def refusal(self, method: str, headers: Headers) -> Refusal | None:
        """Return the refusal of a preflight request; None if the page may call, or this is none."""
        if method != "OPTIONS" or "access-control-request-method" not in headers:
            return None
        if headers.get("origin") not in self.allow_origins:
            return Refusal(FORBIDDEN_ORIGIN, "Pages of that site may not call this gateway.")
        if self.preflight_response(headers).status_code != HTTPStatus.OK:
            return Refusal(
                FORBIDDEN_ORIGIN,
                f"Pages may use {', '.join(METHODS)}, and beside the usual headers {', '.join(ASK_WITH)}.",
            )
        return None
