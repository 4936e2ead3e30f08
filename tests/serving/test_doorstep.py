"""Requests that are turned away ahead of the application, over real sockets: nobody sees a difference."""

import contextlib
import json
import re
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from serving.app import create_app
from serving.exchange import Exchange
from serving.settings import Settings
from tests.fakes.backend import FakeBackend
from tests.fakes.live import serve

SECONDS = 1.0
"""What a client may take, for a head and for a body."""

HEAD = b"POST /generate HTTP/1.1\r\nHost: x\r\nX-Request-ID: mine\r\nContent-Type: application/json\r\n"
BODY = b'{"n": 1}'
WHOLE = HEAD + b"Content-Length: 8\r\n\r\n" + BODY


class Passage:
    """The way into an application: keeps the paths of those that came through."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.paths: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            self.paths.append(scope["path"])
        await self.app(scope, receive, send)


class Ear:
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.heard: list[Exchange] = []
        self.begun = 0

    def began(self) -> None:
        self.begun += 1

    def ended(self, exchange: Exchange) -> None:
        self.heard.append(exchange)


@dataclass
class House:
    """A gateway without room, and what is known of who came."""

    address: tuple[str, int]
    passage: Passage
    ear: Ear

    def connect(self) -> socket.socket:
        line = socket.create_connection(self.address)
        line.settimeout(20)
        return line


@contextlib.contextmanager
def house(doorstep: bool = True, **given: object) -> Iterator[House]:
    """Run a gateway whose queue has no place, which no operator could set; also without its doorstep."""
    settings = Settings.model_validate({"body_timeout": SECONDS, "answer_timeout": SECONDS, **given})
    settings = settings.model_copy(update={"max_rows": 0})
    app = create_app(settings, FakeBackend())
    passage, ear = Passage(app), Ear()
    app.state.witnesses.append(ear)
    with serve(passage, settings, app.state.doorstep if doorstep else None) as url:
        parts = urlsplit(url)
        assert parts.hostname
        assert parts.port
        yield House((parts.hostname, parts.port), passage, ear)


@pytest.fixture(scope="module")
def full() -> Iterator[House]:
    with house() as found:
        yield found


@pytest.fixture(autouse=True)
def nobody_came(request: pytest.FixtureRequest) -> None:
    if "full" in request.fixturenames:
        found: House = request.getfixturevalue("full")
        found.passage.paths.clear()
        found.ear.heard.clear()
        found.ear.begun = 0


def answer_on(line: socket.socket) -> tuple[bytes, dict[str, str], dict]:
    """Read one answer with a problem."""
    stream = line.makefile("rb", buffering=0)
    status = stream.readline()
    fields: dict[str, str] = {}
    while (row := stream.readline()) != b"\r\n":
        name, _, value = row.decode().partition(":")
        assert name.lower() not in fields
        fields[name.lower()] = value.strip()
    body = b""
    while len(body) < int(fields["content-length"]):
        body += stream.read(int(fields["content-length"]) - len(body))
    return status, fields, json.loads(body)


@pytest.mark.parametrize(
    "sent",
    [
        WHOLE,
        WHOLE.replace(b"Host: x\r\n", b"Host: x\r\nPrefer: wait=3\r\n"),
        WHOLE.replace(b"X-Request-ID: mine", b"X-Request-ID: not harmless"),
        HEAD + b"\r\n",
        b"GET /generate?seed=7 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /morph HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
        b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: 3\r\n\r\nPNG",
    ],
    ids=["plain", "with a wait", "id of ours", "no body", "address", "morph", "score"],
)
def test_the_answer_is_the_one_that_the_application_gives(full: House, sent: bytes):
    with house(doorstep=False) as inside, full.connect() as ahead, inside.connect() as behind:
        for line in (ahead, behind):
            line.sendall(sent)
        status, fields, problem = answer_on(ahead)
        inner_status, inner_fields, inner_problem = answer_on(behind)
        assert len(inside.passage.paths) == 1
        assert not full.passage.paths
        (heard,), (inner_heard,) = full.ear.heard, inside.ear.heard
    assert status == inner_status == b"HTTP/1.1 503 Service Unavailable\r\n"
    assert problem["instance"] == fields["x-request-id"]
    assert (b"X-Request-ID: mine" in sent) == (problem["instance"] == "mine")
    own = {"date", "retry-after", "x-request-id"}  # each answer has its own
    assert own <= fields.keys()
    assert {name: fields[name] for name in fields if name not in own} == {
        name: inner_fields[name] for name in inner_fields if name not in own
    }
    assert problem == inner_problem | {"instance": problem["instance"]}
    assert heard.seconds > 0
    heard.seconds = inner_heard.seconds = 0
    inner_heard.sent = heard.sent  # ids of different lengths
    assert heard == inner_heard
    assert full.ear.begun == 1


def test_a_connection_serves_on_and_is_not_hurried(full: House):
    with full.connect() as line:
        for _ in range(3):
            line.sendall(WHOLE)
            assert answer_on(line)[0].startswith(b"HTTP/1.1 503")
        time.sleep(1.5 * SECONDS)  # idle, for longer than a head may take
        line.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert line.recv(65536).startswith(b"HTTP/1.1 200")
        line.sendall(WHOLE[:20])  # but a head that has begun has to end
        began = time.monotonic()
        assert line.recv(65536).startswith(b"HTTP/1.1 408")
        assert time.monotonic() - began < 10 * SECONDS


def test_pipelined_requests_are_answered_in_order(full: House):
    health = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    last = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with full.connect() as line:
        line.sendall(WHOLE * 2 + health + WHOLE * 2 + health + last)
        received = line.makefile("rb").read()
    statuses = re.findall(rb"HTTP/1\.1 (\d{3}) ", received)
    assert statuses == [b"503", b"503", b"200", b"503", b"503", b"200", b"200"]


def test_a_body_may_come_in_pieces(full: House):
    with full.connect() as line:
        for piece in (WHOLE[:30], WHOLE[30:-5], WHOLE[-5:-2], WHOLE[-2:] + WHOLE):
            line.sendall(piece)
            time.sleep(0.05)
        assert answer_on(line)[0] == answer_on(line)[0] == b"HTTP/1.1 503 Service Unavailable\r\n"
    assert not full.passage.paths
    assert [heard.received for heard in full.ear.heard] == [8, 8]


def test_a_body_that_does_not_come_is_not_waited_for(full: House):
    with full.connect() as line:
        line.sendall(WHOLE[:-1])
        began = time.monotonic()
        status, fields, _ = answer_on(line)
        assert status.startswith(b"HTTP/1.1 503")
        assert fields["connection"] == "close"
        assert line.recv(1) == b""
        assert SECONDS / 2 < time.monotonic() - began < 10 * SECONDS


@pytest.mark.parametrize(
    "sent",
    [
        b"POST /generate HTTP/1.0\r\n\r\n",
        HEAD + b"Connection: close\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"Content-Length: 8\r\nExpect: 100-continue\r\n\r\n" + BODY,
        HEAD + b"Content-Length: 100000\r\n\r\n" + bytes(100_000),
    ],
    ids=["HTTP/1.0", "last request", "chunks", "expects", "large body"],
)
def test_what_takes_more_is_left_to_the_application(full: House, sent: bytes):
    with full.connect() as line:
        line.sendall(sent)
        received = b""
        while b"HTTP/1.1 503 " not in received:
            received += line.recv(65536)
    assert full.passage.paths == ["/generate"]


@pytest.mark.parametrize("target", [b"/generate?seed=7", b"/healthz", b"/nothing", b"/%67enerate?seed=7"])
def test_what_needs_no_model_or_is_spelt_otherwise_is_let_in(full: House, target: bytes):
    known = b"If-None-Match: *\r\n" if b"seed" in target else b""
    with full.connect() as line:
        line.sendall(b"GET " + target + b" HTTP/1.1\r\nHost: x\r\n" + known + b"\r\n")
        line.recv(65536)
    assert len(full.passage.paths) == 1


def test_where_other_sites_are_let_in_the_application_refuses_itself():
    with house(origins="https://cards.example") as found, found.connect() as line:
        line.sendall(WHOLE.replace(b"Host: x", b"Host: x\r\nOrigin: https://cards.example"))
        status, fields, _ = answer_on(line)
        assert status.startswith(b"HTTP/1.1 503")
        assert fields["access-control-allow-origin"] == "https://cards.example"
        assert found.passage.paths == ["/generate"]


def test_who_speaks_through_a_trusted_proxy_is_known_by_its_own_address():
    with house(trusted_proxies="127.0.0.1") as found, found.connect() as line:
        line.sendall(WHOLE.replace(b"Host: x", b"Host: x\r\nX-Forwarded-For: 192.0.2.7"))
        assert answer_on(line)[0].startswith(b"HTTP/1.1 503")
        line.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        line.recv(65536)
    assert found.ear.heard[0].client == "192.0.2.7"
