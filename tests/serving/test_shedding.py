"""Requests that are shed ahead of the application, over real sockets: nobody sees a difference."""

import asyncio
import contextlib
import json
import re
import socket
import time
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

import pytest
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send
from structlog.contextvars import get_contextvars

from serving.admission import Admission
from serving.app import create_app
from serving.connection import MOST_AHEAD
from serving.exchange import Exchange
from serving.life import Life
from serving.refusals import Refusal
from serving.settings import Settings
from tests.fakes.backend import FakeBackend
from tests.fakes.live import serve
from tests.serving.asking import client_of
from tests.serving.test_exchange import Ear

SECONDS = 1.0
"""What a client may take, for a head and for a body."""

HEAD = b"POST /generate HTTP/1.1\r\nHost: x\r\nX-Request-ID: mine\r\nContent-Type: application/json\r\n"
BODY = b'{"n": 1}'
WHOLE = HEAD + b"Content-Length: 8\r\n\r\n" + BODY


SLOW = b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n"


class Passage:
    """The way into an application: keeps the paths of those that came through, and some wait there."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.paths: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            self.paths.append(scope["path"])
            await asyncio.sleep(0.5 if scope["path"] == "/slow" else 0)
        await self.app(scope, receive, send)


class Listener(Ear):
    """Keeps also the id that a line in the log would have."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []

    def ended(self, exchange: Exchange) -> None:
        self.ids.append(get_contextvars()["request_id"])
        super().ended(exchange)


@dataclass
class House:
    """A gateway without room, and what is known of who came."""

    address: tuple[str, int]
    passage: Passage
    ear: Listener
    life: Life

    def connect(self) -> socket.socket:
        line = socket.create_connection(self.address)
        line.settimeout(20)
        return line


@contextlib.contextmanager
def house(shedding: bool = True, **given: object) -> Iterator[House]:
    """Run a gateway whose queue has no place, which no operator could set; also without shedding."""
    settings = Settings.model_validate({"body_timeout": SECONDS, "answer_timeout": SECONDS, **given})
    settings = settings.model_copy(update={"max_rows": 0})
    app = create_app(settings, FakeBackend())
    passage, ear = Passage(app), Listener()
    app.state.witnesses.append(ear)
    with serve(passage, settings, app.state.shedder if shedding else None) as url:
        parts = urlsplit(url)
        assert parts.hostname
        assert parts.port
        yield House((parts.hostname, parts.port), passage, ear, app.state.life)


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
        found.ear.ids.clear()
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
        HEAD + b"Content-Length: " + 5000 * b"0" + b"\r\n\r\n",  # more digits than Python reads
        b"GET /generate?seed=7 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /morph HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
        b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: 3\r\n\r\nPNG",
    ],
    ids=["plain", "with a wait", "id of ours", "no body", "zeros", "address", "morph", "score"],
)
def test_the_answer_is_the_one_that_the_application_gives(full: House, sent: bytes):
    with house(shedding=False) as inside, full.connect() as ahead, inside.connect() as behind:
        for line in (ahead, behind):
            line.sendall(sent)
        status, fields, problem = answer_on(ahead)
        inner_status, inner_fields, inner_problem = answer_on(behind)
        assert len(inside.passage.paths) == 1
        assert not full.passage.paths
        (heard,), (inner_heard,) = full.ear.ends(1), inside.ear.ends(1)
    assert status == inner_status == b"HTTP/1.1 503 Service Unavailable\r\n"
    assert problem["instance"] == fields["x-request-id"]
    assert (b"X-Request-ID: mine" in sent) == (problem["instance"] == "mine")
    own = {"date", "retry-after", "x-request-id"}  # each answer has its own
    assert own <= fields.keys()
    assert {name: fields[name] for name in fields if name not in own} == {
        name: inner_fields[name] for name in inner_fields if name not in own
    }
    assert problem == inner_problem | {"instance": problem["instance"]}
    assert full.ear.ids == [problem["instance"]]
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


def test_who_sends_a_thousand_requests_at_once_is_told_to_wait_and_hinders_nobody(full: House):
    with full.connect() as eager, full.connect() as other:
        eager.sendall(WHOLE * 1000)
        began = time.monotonic()
        other.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert other.recv(65536).startswith(b"HTTP/1.1 200")
        assert time.monotonic() - began < 5
        received = eager.makefile("rb").read()
    assert received.count(b"HTTP/1.1 503 ") == MOST_AHEAD + 1
    assert b"Wait for an answer first." in received[received.rindex(b"HTTP/1.1 503 ") :]


@pytest.mark.parametrize(
    "pieces",
    [
        [WHOLE[:30], WHOLE[30:-5], WHOLE[-5:-2], WHOLE[-2:]],
        [WHOLE[:-8], WHOLE[-8:]],
        [WHOLE[: -len(BODY) - 2], WHOLE[-len(BODY) - 2 :]],
        [WHOLE + WHOLE[:10], WHOLE[10:]],
        [WHOLE + WHOLE[:-8], BODY],
        [b"\r\n\r\n" + WHOLE],
    ],
    ids=[
        "many",
        "body later",
        "within the blank line",
        "the next begins",
        "the next but for its body",
        "blank",
    ],
)
def test_what_comes_in_pieces_is_answered_by_the_application(full: House, pieces: list[bytes]):
    asked = b"".join(pieces).count(HEAD)
    with full.connect() as line:
        for piece in pieces:
            line.sendall(piece)
            time.sleep(0.05)
        for _ in range(asked):
            assert answer_on(line)[0].startswith(b"HTTP/1.1 503")
        line.sendall(WHOLE)
        assert answer_on(line)[0].startswith(b"HTTP/1.1 503")
    assert len(full.ear.ends(asked + 1)) == full.ear.begun == asked + 1
    assert {heard.received for heard in full.ear.heard} == {len(BODY)}


@pytest.mark.parametrize(
    "sent",
    [
        b"POST /generate HTTP/1.0\r\n\r\n",
        HEAD + b"Connection: close\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"Content-Length: 100000\r\n\r\n" + bytes(100_000),
    ],
    ids=["HTTP/1.0", "last request", "chunks", "large body"],
)
def test_what_takes_more_is_left_to_the_application(full: House, sent: bytes):
    with full.connect() as line:
        line.sendall(sent)
        received = b""
        while b"HTTP/1.1 503 " not in received:
            received += line.recv(65536)
    assert full.passage.paths == ["/generate"]


def test_a_shed_request_is_not_answered_before_one_that_is_at_work(full: House):
    """Its client would take the one answer for the other."""
    with full.connect() as line:
        line.sendall(SLOW)
        time.sleep(0.1)
        line.sendall(WHOLE)
        statuses = [answer_on(line)[0] for _ in range(2)]
    assert [status.split()[1] for status in statuses] == [b"404", b"503"]


@pytest.mark.parametrize("target", [b"/generate?seed=7", b"/healthz", b"/nothing", b"/%67enerate?seed=7"])
def test_what_needs_no_model_or_is_spelt_otherwise_is_let_in(full: House, target: bytes):
    known = b"If-None-Match: *\r\n" if b"seed" in target else b""
    with full.connect() as line:
        line.sendall(b"GET " + target + b" HTTP/1.1\r\nHost: x\r\n" + known + b"\r\n")
        line.recv(65536)
    assert len(full.passage.paths) == 1


def test_who_was_shed_makes_room_for_another():
    with house(max_connections=2) as found, contextlib.ExitStack() as stack:
        lines = [stack.enter_context(found.connect()) for _ in range(2)]
        for line in lines:
            line.sendall(WHOLE)
            assert answer_on(line)[0].startswith(b"HTTP/1.1 503")
        lines.append(stack.enter_context(found.connect()))
        lines[-1].sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert lines[-1].recv(65536).startswith(b"HTTP/1.1 200")
        assert lines[0].recv(1) == b""


class Broken(Admission):
    def refusal(self, method: str, path: str, query: bytes, headers: Headers) -> Refusal | None:
        raise RuntimeError("a fault of our own")


def test_where_shedding_fails_all_is_left_to_the_application(caplog: pytest.LogCaptureFixture):
    settings = Settings()
    app = create_app(settings, FakeBackend())
    shedder = app.state.shedder
    broken = replace(shedder, admission=Broken(shedder.admission.gateway, shedder.admission.seconds))
    with serve(app, settings, broken) as url, client_of(url) as client:
        assert client.post("/generate").status_code == 200
    assert "Shedding load failed" in caplog.text


def test_the_last_answers_of_a_process_close_their_connections():
    with house() as found, found.connect() as line:
        found.life.draining = True
        line.sendall(WHOLE)
        status, fields, _ = answer_on(line)
    assert status.startswith(b"HTTP/1.1 503")
    assert fields["connection"] == "close"


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
    assert found.ear.ends(1)[0].client == "192.0.2.7"


def test_a_body_that_may_not_be_so_large_is_refused_for_that():
    with house(max_body=4) as found, found.connect() as line:
        line.sendall(WHOLE)
        assert answer_on(line)[0].startswith(b"HTTP/1.1 413")


def test_who_reads_none_of_its_answers_is_cut_off_and_holds_no_memory():
    """Answers ahead of the application fill the system's buffers, and behind them nothing of ours."""
    with house() as found, socket.socket() as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        line.settimeout(20)
        line.connect(found.address)
        tracemalloc.start()
        try:
            with pytest.raises((BrokenPipeError, ConnectionResetError)):
                press_on(found, line, seconds=10 * SECONDS)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert 0 < 5 * len(found.passage.paths) < found.ear.begun
    assert peak < 1_000_000


def press_on(found: House, line: socket.socket, seconds: float) -> None:
    """Send one request after another, each once the one before has its answer, as long as there are any."""
    end = time.monotonic() + seconds
    sent = 0
    while time.monotonic() < end:
        line.sendall(WHOLE)
        sent += 1
        until = time.monotonic() + SECONDS / 20
        while found.ear.begun < sent and time.monotonic() < until:
            time.sleep(0)
        found.ear.heard.clear()
        found.ear.ids.clear()
