"""Which other sites' pages may call this gateway from a visitor's browser (CORS): those that are named."""

from collections.abc import Collection

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from serving.problems import FORBIDDEN_ORIGIN, Refusal, answer

ASK_WITH = ("Authorization", "If-None-Match", "Prefer", "X-API-Key", "X-Request-ID")
"""Headers that a page may send beside those that every page may."""

READ = (
    "Content-Disposition",
    "ETag",
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
            allow_methods=("GET", "HEAD", "POST"),
            allow_headers=ASK_WITH,
            expose_headers=READ,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse the question of a browser on behalf of a site that is not named, and pass on all else."""
        if scope["type"] == "http" and scope["method"] == "OPTIONS":
            headers = Headers(scope=scope)
            if "access-control-request-method" in headers and headers.get("origin") not in self.allow_origins:
                refusal = Refusal(FORBIDDEN_ORIGIN, "This gateway answers no pages of that site.")
                await answer(refusal, scope["state"]["request_id"])(scope, receive, send)
                return
        await super().__call__(scope, receive, send)
