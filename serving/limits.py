"""How large the body of a request may be, how long it may take, and how much memory all of them may hold."""

import asyncio

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.problems import BODY_TIMEOUT, OVERLOADED, TOO_LARGE
from serving.refusals import Refusal, answer


def has_body(headers: Headers) -> bool:
    """Whether a request announces a body, by its length or as chunks."""
    return length_of(headers) != 0


def length_of(headers: Headers) -> int | None:
    """Return how many bytes a body is announced to have; None for chunks, which announce nothing."""
    if "transfer-encoding" in headers:
        return None
    # Python reads no number of more than 4,300 digits, be they zeros; the parser has refused all above 2**64.
    return int(headers.get("content-length", "").lstrip("0") or 0)


class BodyGuard:
    """Pure ASGI: refuses bodies above a limit in bytes, and those that take longer than `timeout` seconds.

    Bytes are also counted, since a body in chunks does not announce its length. The bodies of all unanswered
    requests may have `room` bytes together, so that many clients cannot fill the memory.
    """

    def __init__(self, app: ASGIApp, limit: int, timeout: float, room: int) -> None:
        self.app = app
        self.limit = limit
        self.timeout = timeout
        self.room = room

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        length = length_of(Headers(scope=scope))
        body = Body(self, receive, send, pending=length != 0)
        if length is not None and length > self.limit:
            await answer(self.too_large(), scope["state"]["request_id"])(scope, receive, body.send)
            return
        try:
            await self.app(scope, body.receive, body.send)
        finally:
            self.room += body.received

    def too_large(self) -> Refusal:
        """Refuse a body above the limit."""
        return Refusal(
            TOO_LARGE, f"A body may have {self.limit:,} bytes at most. Send fewer or smaller files."
        )


class Body:
    """The body of one request, counted and timed as it comes."""

    def __init__(self, guard: BodyGuard, receive: Receive, send: Send, pending: bool) -> None:
        self.received = 0  # bytes
        self._guard = guard
        self._receive = receive
        self._send = send
        self._deadline = asyncio.get_running_loop().time() + guard.timeout
        self._pending = pending

    async def receive(self) -> Message:
        """Pass on the next piece; raise Refusal if it is late or there is no room for it."""
        if not self._pending:
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._deadline):
                message = await self._receive()
        except TimeoutError:
            raise Refusal(
                BODY_TIMEOUT,
                f"The body was not complete after {self._guard.timeout:g} s. "
                "Send less, or use a faster connection.",
            ) from None
        if message["type"] == "http.request":
            self._count(len(message.get("body", b"")))
            self._pending = message.get("more_body", False)
        return message

    def _count(self, size: int) -> None:
        """Count a piece; raise Refusal for too much."""
        self.received += size
        self._guard.room -= size
        if self.received > self._guard.limit:
            raise self._guard.too_large()
        if self._guard.room < 0:
            raise Refusal(OVERLOADED, "Too many bodies are being read at once. Try again in a moment.")

    async def send(self, message: Message) -> None:
        """Pass on the answer; if the body is not complete by then, the connection closes.

        Otherwise the server would read and drop the rest for as long as it comes.
        """
        if message["type"] == "http.response.start" and self._pending:
            MutableHeaders(scope=message)["Connection"] = "close"
        await self._send(message)
