"""A server on a real socket that answers each request with the next bytes of a list, right or wrong."""

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

TICK = 0.05
"""Seconds between the pieces of an answer."""


@dataclass
class Script:
    """Where it listens, and every request that came."""

    url: str
    asked: list["Asked"] = field(default_factory=list)


@dataclass(frozen=True)
class Asked:
    """One request as it came."""

    line: str
    headers: dict[str, str]
    body: bytes
    at: float
    """When it was whole, by the monotonic clock."""
    client: int
    """The port from which it came."""


def reply(
    body: object = b"", status: int = 200, media_type: str = "application/json", **headers: str
) -> bytes:
    """Write an answer; what is no bytes becomes JSON. Underscores in headers' names stand for dashes."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {
        "Content-Type": media_type,
        "Content-Length": str(len(content)),
        "Connection": "close",
        **headers,
    }
    lines = [f"HTTP/1.1 {status} Whatever", *(f"{k.replace('_', '-')}: {v}" for k, v in named.items())]
    return "\r\n".join([*lines, "", ""]).encode() + content


def problem(name: str, status: int, detail: str = "No.", **headers: str) -> bytes:
    """Write a problem as the gateway does."""
    body = {
        "type": f"/problems/{name}",
        "title": "Refused",
        "status": status,
        "detail": detail,
        "instance": "abc",
        "errors": [],
    }
    return reply(body, status, "application/problem+json", **headers)


@contextlib.contextmanager
def scripted(answers: Sequence[bytes | Sequence[bytes] | None]) -> Iterator[Script]:
    """Answer each request, the last answer again and again; None never answers.

    Of an answer in pieces each comes TICK after the one before. A connection ends with its first answer that
    does not say Connection: keep-alive.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    script = Script(f"http://127.0.0.1:{listener.getsockname()[1]}")
    over = threading.Event()

    def play() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:  # closed: the test is over
                return
            threads.append(threading.Thread(target=answer, args=(connection,)))
            threads[-1].start()

    def answer(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            while asked := read(connection):
                script.asked.append(asked)
                content = answers[min(len(script.asked), len(answers)) - 1]
                if content is None:
                    over.wait()
                elif isinstance(content, bytes):
                    connection.sendall(content)
                else:
                    drip(connection, content)
                if not isinstance(content, bytes) or b"keep-alive" not in content:
                    return

    def drip(connection: socket.socket, pieces: Sequence[bytes]) -> None:
        for piece in pieces:
            connection.sendall(piece)
            over.wait(TICK)

    threads = [threading.Thread(target=play)]
    threads[0].start()
    try:
        yield script
    finally:
        over.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for thread in threads:
            thread.join()


def read(connection: socket.socket) -> Asked | None:
    """Read one request whole; None where the client went before."""
    file = connection.makefile("rb")
    line = file.readline().decode().strip()
    if not line:
        return None
    headers: dict[str, str] = {}
    while text := file.readline().decode().strip():
        name, _, value = text.partition(":")
        headers[name.lower()] = value.strip()
    body = file.read(int(headers.get("content-length", "0")))
    return Asked(line, headers, body, time.monotonic(), connection.getpeername()[1])
