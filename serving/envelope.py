"""What every answer carries: its request's id and strict headers; also the answer if our own code fails."""

import logging
import re
import secrets

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.life import Life
from serving.logs import bind_request_id
from serving.refusals import internal

ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",  # a named site's <img crossorigin> goes by CORS
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' blob: data:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'; object-src 'none'"
    ),
    "Accept-Ranges": "none",
}

FIELDS = [(name.lower().encode(), value.encode()) for name, value in ALWAYS.items()]
"""The same in ASGI's form. Set one by one through Starlette, they would cost 40 µs an answer."""

OURS = frozenset(name for name, _ in FIELDS)

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")

logger = logging.getLogger(__name__)


def request_id(headers: Headers) -> str:
    """Return the client's X-Request-ID if it is harmless to repeat, or a new one."""
    given = headers.get("x-request-id", "")
    return given if REQUEST_ID.fullmatch(given) else secrets.token_hex(12)


class Envelope:
    """Pure ASGI: gives each request an id and each answer its headers, and answers if our own code fails.

    The id is scope["state"]["request_id"]. Whoever handles the request may put further headers of the answer
    into scope["state"]["headers"]. Range is removed from the request, as any server may do (RFC 9110, 14.2):
    Starlette would serve parts of the page's files, and refuse others in text.

    Not a BaseHTTPMiddleware: those hide that the client has left, and cost more than all else here.
    """

    def __init__(self, app: ASGIApp, life: Life) -> None:
        self.app = app
        self.life = life

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if "range" in headers:
            scope["headers"] = [field for field in scope["headers"] if field[0] != b"range"]
        name = request_id(headers)
        scope.setdefault("state", {})["request_id"] = name
        bind_request_id(name)
        started = False

        async def send_enveloped(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                self.complete(message, scope)
            await send(message)

        try:
            await self.app(scope, receive, send_enveloped)
        except Exception:
            logger.exception("The request failed")
            if started:
                raise
            await internal(name)(scope, receive, send_enveloped)

    def complete(self, start: Message, scope: Scope) -> None:
        """Add to the start of an answer the headers that every answer has."""
        start["headers"] = [*FIELDS, *(field for field in start["headers"] if field[0] not in OURS)]
        headers = MutableHeaders(scope=start)
        headers.update(scope["state"].get("headers", {}))
        headers["X-Request-ID"] = scope["state"]["request_id"]
        # no-cache lets browsers keep the page's files, but ask whether they are still right.
        headers.setdefault("Cache-Control", "no-store" if scope["method"] == "POST" else "no-cache")
        if self.life.draining:  # kept open, the connection would be cut with the client's next request on it
            headers["Connection"] = "close"
