"""One request and what came of it, as seen from outside all else."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from opentelemetry.trace import Tracer
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving import timings, tracing
from serving.methods import METHODS
from serving.timings import Timings

KNOWN_METHODS = frozenset((*METHODS, "OPTIONS"))
OTHER_METHOD = "OTHER"
UNKNOWN_ROUTE = "unknown"

CLIENT_GONE = 499
"""Nobody is sent this: nginx' number for a client that left before its answer was complete."""

FAILED = 500


@dataclass
class Exchange:
    """What the log and the metrics say of a request: nothing of it is the client's own words."""

    method: str  # one of KNOWN_METHODS, or OTHER
    client: str  # its address, or empty where the server knows none
    route: str = UNKNOWN_ROUTE  # the template, /problems/{name}: paths have no bound, templates do
    status: int = FAILED
    seconds: float = 0.0
    received: int = 0  # bytes of the body that were read
    sent: int = 0  # bytes of the answer's body
    key: str | None = None  # name of the API key
    timings: Timings = field(default_factory=Timings)


class Witness(Protocol):
    """Hears of each request."""

    def began(self) -> None:
        """Hear that a request has begun."""
        ...

    def ended(self, exchange: Exchange) -> None:
        """Hear what came of it."""
        ...


class Watch:
    """Pure ASGI, around all that answers: measures a request, tells the witnesses, adds Server-Timing."""

    def __init__(self, app: ASGIApp, witnesses: Sequence[Witness], tracer: Tracer | None = None) -> None:
        self.app = app
        self.witnesses = witnesses
        self.tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run one request and watch it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began = time.perf_counter()
        method, client = scope["method"], scope.get("client")
        exchange = Exchange(method if method in KNOWN_METHODS else OTHER_METHOD, client[0] if client else "")
        timings.begin(exchange.timings)
        span = tracing.joined(self.tracer, exchange.timings, scope["query_string"])
        complete = gone = False

        async def receive_watched() -> Message:
            nonlocal gone
            message = await receive()
            if message["type"] == "http.request":
                exchange.received += len(message.get("body", b""))
            elif not complete:  # servers also say so after a complete answer
                gone = True
            return message

        async def send_watched(message: Message) -> None:
            nonlocal complete
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
                if timing := exchange.timings.server_timing():
                    MutableHeaders(scope=message)["Server-Timing"] = timing
                if span:
                    span.set_attribute("holofoil.request_id", scope["state"]["request_id"])
            elif message["type"] == "http.response.body":
                exchange.sent += len(message.get("body", b""))
                complete = not message.get("more_body", False)
                exchange.seconds = time.perf_counter() - began
            await send(message)

        for witness in self.witnesses:
            witness.began()
        try:
            await self.app(scope, receive_watched, send_watched)
        finally:
            if not complete:
                exchange.seconds = time.perf_counter() - began
            exchange.route = route_of(scope)
            exchange.key = scope.get("state", {}).get("key_name")
            if gone:
                exchange.status = CLIENT_GONE
            for witness in self.witnesses:
                witness.ended(exchange)


def route_of(scope: Scope) -> str:
    """Return the template of the route that took a request, or a mount's prefix, or UNKNOWN_ROUTE."""
    if template := getattr(scope.get("route"), "path", None) or scope.get("root_path"):
        return template
    # FastAPI names no route for /openapi.json: a path without parameters is its own template.
    return scope["path"] if "endpoint" in scope and not scope["path_params"] else UNKNOWN_ROUTE
