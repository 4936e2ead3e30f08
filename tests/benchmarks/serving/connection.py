"""The cheapest HTTP/1.1 client that is still exact: one request at a time over one kept connection."""

import asyncio
from dataclasses import dataclass
from typing import cast

import httptools


class NoAnswer(Exception):
    """The connection could not be had, or it ended before the answer did."""


@dataclass(frozen=True)
class Answer:
    """A whole answer."""

    status: int
    headers: dict[bytes, bytes]  # the names in lower case
    body: bytes


class Connection(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
        self.closed = False
        self.headers: dict[bytes, bytes] = {}
        self.body: list[bytes] = []
        self.waiting: asyncio.Future[Answer] | None = None
        self.parser = httptools.HttpResponseParser(self)

    @classmethod
    async def open(cls, address: str) -> "Connection":
        """Connect to http://host:port. Raises NoAnswer."""
        host, port = address.removeprefix("http://").rsplit(":", 1)
        try:
            _, connection = await asyncio.get_running_loop().create_connection(cls, host, int(port))
        except OSError as error:
            raise NoAnswer(str(error)) from None
        return connection

    async def ask(self, request: bytes) -> Answer:
        """Send a whole request; return its answer. Raises NoAnswer."""
        if self.closed:
            raise NoAnswer("the connection is closed")
        self.waiting = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return await self.waiting

    def close(self) -> None:
        """Hang up."""
        self.closed = True
        self.transport.close()

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError as error:
            self.fail(f"the answer is no HTTP: {error}")
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self.fail(f"the connection ended: {exc}")

    def fail(self, why: str) -> None:
        if self.waiting and not self.waiting.done():
            self.waiting.set_exception(NoAnswer(why))

    # What httptools calls.

    def on_message_begin(self) -> None:
        self.headers, self.body = {}, []

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.lower()] = value

    def on_body(self, body: bytes) -> None:
        self.body.append(body)

    def on_message_complete(self) -> None:
        answer = Answer(self.parser.get_status_code(), self.headers, b"".join(self.body))
        if not self.parser.should_keep_alive():
            self.close()
        if self.waiting and not self.waiting.done():
            self.waiting.set_result(answer)


def get(target: str, **headers: str) -> bytes:
    """Write a request without a body; the header names' underscores stand for hyphens."""
    return head("GET", target, headers) + b"\r\n"


def post(target: str, body: bytes, content_type: str, **headers: str) -> bytes:
    """Write a request with a body."""
    headers |= {"Content-Type": content_type, "Content-Length": str(len(body))}
    return head("POST", target, headers) + b"\r\n" + body


def head(method: str, target: str, headers: dict[str, str]) -> bytes:
    """Write the first line and the headers."""
    lines = [f"{method} {target} HTTP/1.1", "Host: localhost"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "".join(f"{line}\r\n" for line in lines).encode()
