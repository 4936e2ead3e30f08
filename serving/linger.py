"""Lingering close: reads and drops the rest of a refused body, so that the answer to it is not lost."""

import asyncio
import contextlib

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.limits import has_body

LONGEST = 1.0
"""Seconds for which a client that has its answer is read from while it still sends."""


class Linger:
    """Pure ASGI, outermost: reads on for a moment after an answer that comes before the end of a body.

    A socket that is closed with unread bytes in it is reset, and the client's system may then drop an answer
    that has arrived already (RFC 9112, 9.6).
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run one request."""
        if scope["type"] != "http" or not has_body(Headers(scope=scope)):
            await self.app(scope, receive, send)
            return
        pending = True

        async def receive_noted() -> Message:
            nonlocal pending
            message = await receive()
            pending = message.get("more_body", False)  # a client that has left sends no more
            return message

        async def send_lingering(message: Message) -> None:
            last = message["type"] == "http.response.body" and not message.get("more_body", False)
            if not (last and pending):
                await send(message)
                return
            await send({**message, "more_body": True})
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LONGEST):
                    while pending:
                        await receive_noted()
            await send({"type": "http.response.body", "body": b"", "more_body": False})

        await self.app(scope, receive_noted, send_lingering)
