"""How long a client waits: until its deadline, or until it disconnects."""

import asyncio

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.limits import has_body
from serving.prefer import preferences

LONGEST = 30
"""Most seconds that a client may ask for with Prefer: wait."""

NOTHING: Message = {"type": "http.request", "body": b"", "more_body": False}


class Patience:
    """Pure ASGI: gives every request a deadline, and cancels it when its client disconnects.

    A client chooses its own deadline with `Prefer: wait=10` (RFC 7240); else it has `seconds`.
    """

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        self.app = app
        self.seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run one request for as long as somebody waits for it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        wait = wait_of(headers)
        scope.setdefault("state", {})["patience"] = self.seconds if wait is None else wait
        client = Client(receive, send, has_body(headers), wait)
        await client.served_by(self.app, scope)


def wait_of(headers: Headers) -> int | None:
    """Return the seconds that a client asks to wait, at most LONGEST; None if it does not say."""
    wait = preferences(headers.getlist("prefer")).get("wait", "")
    return min(int(wait[:9]), LONGEST) if wait.isascii() and wait.isdecimal() else None


def applied(wait: int) -> tuple[str, str]:
    """Return the header that tells a client that its Prefer: wait was applied."""
    return "Preference-Applied", f"wait={wait}"


def deadline_of(request: Request) -> float:
    """Return the deadline of a request that was read just now, as a time of the event loop."""
    return asyncio.get_running_loop().time() + request.state.patience


class Client:
    """The client of one request. Once it has sent everything, listening goes on, to notice that it leaves."""

    def __init__(self, receive: Receive, send: Send, sends_body: bool, wait: int | None) -> None:
        self._receive = receive
        self._send = send
        self._wait = wait
        self._empty = not sends_body
        self._sent_all = asyncio.Event()
        if self._empty:
            self._sent_all.set()
        self._answered = False
        self._left = False

    async def served_by(self, app: ASGIApp, scope: Scope) -> None:
        """Run the application until it ends or the client leaves."""
        serving = asyncio.current_task()
        assert serving
        listening = asyncio.create_task(self._listen(serving))
        try:
            await app(scope, self.receive, self.send)
        except asyncio.CancelledError:
            if not self._left or serving.uncancel():
                raise
        finally:
            listening.cancel()

    async def receive(self) -> Message:
        """Return what the client sends; after its body, that it has left."""
        if self._empty:
            self._empty = False
            return NOTHING
        if self._sent_all.is_set():
            await asyncio.get_running_loop().create_future()  # _listen ends this
        message = await self._receive()
        if not message.get("more_body"):
            self._sent_all.set()
        return message

    async def send(self, message: Message) -> None:
        """Send what the application answers, and say that Prefer: wait was applied."""
        if message["type"] == "http.response.start" and self._wait is not None:
            MutableHeaders(scope=message).append(*applied(self._wait))
        if message["type"] == "http.response.body":
            self._answered = not message.get("more_body")
        await self._send(message)

    async def _listen(self, serving: asyncio.Task[None]) -> None:
        """Cancel the request's task if the client leaves before its answer is complete."""
        await self._sent_all.wait()
        while (await self._receive())["type"] != "http.disconnect":
            pass
        if not self._answered:
            self._left = True
            serving.cancel()
