"""Which other sites' pages may call this gateway from a visitor's browser (CORS): those that are named."""

from collections.abc import Collection
from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from serving.problems import FORBIDDEN_ORIGIN
from serving.refusals import Refusal, answer

METHODS = ("GET", "HEAD", "POST")
ASK_WITH = ("Authorization", "If-Match", "If-None-Match", "Prefer", "X-API-Key", "X-Request-ID")
"""Headers that a page may send beside those that every page may."""

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
"""Headers of an answer that a page may read beside those that every page may."""


class Origins(CORSMiddleware):
    """Starlette's CORS for exact origins, without cookies; what it refuses is a problem like any other."""

    def __init__(self, app: ASGIApp, allowed: Collection[str]) -> None:
        super().__init__(
            app,
            allow_origins=allowed,
            allow_methods=METHODS,
            allow_headers=ASK_WITH,
            expose_headers=READ,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse what a browser asks on behalf of a page that may not, and pass on all else."""
        if scope["type"] == "http" and (refusal := self.refusal(scope["method"], Headers(scope=scope))):
            await answer(refusal, scope["state"]["request_id"])(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)

    def refusal(self, method: str, headers: Headers) -> Refusal | None:
        """Say why a page may not ask as its browser announces; None where it may, or nothing is announced."""
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
