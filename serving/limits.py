"""How large the body of a request may be, how long it may take to come, and how much all of them may hold."""

import asyncio

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.problems import BODY_TIMEOUT, OVERLOADED, TOO_LARGE, Refusal, answer


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
    """Pure ASGI: refuses bodies that are announced or counted above a limit in bytes, or slower than timeout.

    The limit is also counted, since chunks announce nothing. All bodies together may hold `room` bytes, each
    until it is answered: many clients cannot fill the memory. An answer that goes out before the body is in
    closes the connection: otherwise the server would read and throw away the rest for as long as it comes.
    """

    def __init__(self, app: ASGIApp, limit: int, timeout: float, room: int) -> None:
        self.app = app
        self.limit = limit
        self.timeout = timeout
        self.room = room

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run one request behind the guard."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        deadline = asyncio.get_running_loop().time() + self.timeout
        pending = has_body(headers)
        received = 0

        async def receive_guarded() -> Message:
            nonlocal pending, received
            if not pending:
                return await receive()
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                raise Refusal(
                    BODY_TIMEOUT,
                    f"The body was not complete after {self.timeout:g} s. Send less, or over a faster line.",
                ) from None
            if message["type"] == "http.request":
                size = len(message.get("body", b""))
                received += size
                self.room -= size
                if received > self.limit:
                    raise self.too_large()
                if self.room < 0:
                    raise Refusal(
                        OVERLOADED, "Too many bodies are being read at once. Try again in a moment."
                    )
                pending = message.get("more_body", False)
            return message

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start" and pending:
                MutableHeaders(scope=message)["Connection"] = "close"
            await send(message)

        if (length_of(headers) or 0) > self.limit:
            refused = answer(self.too_large(), scope["state"]["request_id"])
            await refused(scope, receive, send_guarded)
            return
        try:
            await self.app(scope, receive_guarded, send_guarded)
        finally:
            self.room += received

    def too_large(self) -> Refusal:
        """Refuse a body above the limit."""
        return Refusal(TOO_LARGE, f"A body may have {self.limit:,} bytes. Send fewer or smaller files.")
