"""One request and its outcome, as seen from outside of everything else."""

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
"""Never sent: nginx' status for a client that left before its answer was complete."""

FAILED = 500


@dataclass
class Exchange:
    """What the log and the metrics say of a request. No text in it was chosen by the client."""

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
        """Hear of its outcome."""
        ...


class Watch:
    """Pure ASGI, around all that answers: measures each request and tells the witnesses."""

    def __init__(self, app: ASGIApp, witnesses: Sequence[Witness], tracer: Tracer | None = None) -> None:
        self.app = app
        self.witnesses = witnesses
        self.tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request = Watched(scope, receive, send)
        timings.begin(request.exchange.timings)
        tracing.trace_stages(self.tracer, request.exchange.timings, scope["query_string"])
        for witness in self.witnesses:
            witness.began()
        try:
            await self.app(scope, request.receive, request.send)
        finally:
            request.end()
            for witness in self.witnesses:
                witness.ended(request.exchange)


class Watched:
    """One request on its way through: its exchange, filled in as messages pass."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        method, client = scope["method"], scope.get("client")
        known = method if method in KNOWN_METHODS else OTHER_METHOD
        self.exchange = Exchange(known, client[0] if client else "")
        self._scope = scope
        self._receive = receive
        self._send = send
        self._began = time.perf_counter()
        self._complete = False
        self._gone = False

    async def receive(self) -> Message:
        """Pass on what the client sends, and count the bytes of the body."""
        message = await self._receive()
        if message["type"] == "http.request":
            self.exchange.received += len(message.get("body", b""))
        elif not self._complete:  # servers also say so after a complete answer
            self._gone = True
        return message

    async def send(self, message: Message) -> None:
        """Pass on the answer with Server-Timing, and note its status, size and end."""
        exchange = self.exchange
        if message["type"] == "http.response.start":
            exchange.status = message["status"]
            if timing := exchange.timings.server_timing():
                MutableHeaders(scope=message)["Server-Timing"] = timing
            if span := exchange.timings.span:
                span.set_attribute("holofoil.request_id", self._scope["state"]["request_id"])
        elif message["type"] == "http.response.body":
            exchange.sent += len(message.get("body", b""))
            self._complete = not message.get("more_body", False)
            exchange.seconds = time.perf_counter() - self._began
        await self._send(message)

    def end(self) -> None:
        """Note what is known only once the application has ended."""
        if not self._complete:
            self.exchange.seconds = time.perf_counter() - self._began
        if self._gone:
            self.exchange.status = CLIENT_GONE
        self.exchange.route = route_of(self._scope)
        self.exchange.key = self._scope.get("state", {}).get("key_name")


def route_of(scope: Scope) -> str:
    """Return the template of the route that took a request, or a mount's prefix, or UNKNOWN_ROUTE."""
    if template := getattr(scope.get("route"), "path", None) or scope.get("root_path"):
        return template
    # FastAPI names no route for /openapi.json: a path without parameters is its own template.
    return scope["path"] if "endpoint" in scope and not scope["path_params"] else UNKNOWN_ROUTE
