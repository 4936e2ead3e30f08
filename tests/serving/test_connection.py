"""Hostile and helpless clients on raw sockets, against a gateway in a process of its own."""

import asyncio
import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import psutil
import pytest

from serving.head import MAX_HEAD, MAX_HEADERS
from serving.settings import Settings
from tests.fakes.backend import FakeBackend
from tests.fakes.live import live

SECONDS = 1.0
"""What a client may take, for a head and for an answer."""


HEALTH = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


class Program:
    """A gateway without models, which answers all the same."""

    def __init__(self, **more: str) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("HOLOFOIL_")}
        settings = {
            "HOLOFOIL_PORT": "0",
            "HOLOFOIL_TFSERVING": "127.0.0.1:9",
            "HOLOFOIL_BODY_TIMEOUT": str(SECONDS),
            "HOLOFOIL_ANSWER_TIMEOUT": str(SECONDS),
            "HOLOFOIL_DRAIN_DELAY": "0",
            **more,
        }
        # A pipe that nobody reads would hold the gateway up.
        self.log = tempfile.NamedTemporaryFile("w")  # noqa: SIM115 (stop closes it)
        self.program = subprocess.Popen(
            [sys.executable, "-m", "serving"],
            env={**environment, **settings},
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
        )
        assert self.program.stdout
        self.port = int(self.program.stdout.readline().rsplit(":", 1)[1])
        self.process = psutil.Process(self.program.pid)

    def stop(self) -> str:
        """End it, and return its log."""
        self.program.terminate()
        with self.log, self.program:
            self.program.wait(timeout=30)
            return self.told()

    def told(self) -> str:
        """Return what it has logged so far."""
        return Path(self.log.name).read_text()

    def connect(self, **options: int) -> socket.socket:
        connection = socket.socket()
        for name, value in options.items():
            connection.setsockopt(socket.SOL_SOCKET, getattr(socket, name), value)
        connection.settimeout(20)
        connection.connect(("127.0.0.1", self.port))
        return connection

    def held(self) -> int:
        """Connections that clients have open, or that it would not let go of."""
        return sum(each.laddr.port == self.port and each.status != "LISTEN" for each in self.connections())

    def connections(self) -> list:
        return self.process.net_connections("tcp")

    def lets_go(self, seconds: float = 10 * SECONDS) -> bool:
        end = time.monotonic() + seconds
        while self.held() and time.monotonic() < end:
            time.sleep(0.05)
        return not self.held()


@pytest.fixture(scope="module")
def program():
    started = Program()
    yield started
    assert "Traceback" not in started.stop()


@pytest.fixture(autouse=True)
def healthy(program):
    """Whatever a client did: the next one is served, and nothing is left of the last."""
    yield
    with program.connect() as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert read(connection).startswith(b"HTTP/1.1 200")
    assert program.lets_go()


def read(connection: socket.socket) -> bytes:
    """Read until the gateway hangs up."""
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := connection.recv(65536):
            received += piece
    return received


def problem(received: bytes) -> dict:
    """Take apart a refusal that closes the connection."""
    head, _, body = received.partition(b"\r\n\r\n")
    lines = head.decode().lower().split("\r\n")
    for header in ("connection: close", "content-type: application/problem+json", "cache-control: no-store"):
        assert header in lines
    found = json.loads(body)
    assert f"x-request-id: {found['instance']}" in lines
    assert lines[0].startswith(f"http/1.1 {found['status']} ")
    return found


def trickle(connection: socket.socket, piece: bytes, limit: float = 10 * SECONDS) -> float:
    """Send a piece every tenth of a second until the gateway hangs up; return after how long."""
    start = time.monotonic()
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        while time.monotonic() - start < limit:
            connection.sendall(piece)
            time.sleep(0.1)
    return time.monotonic() - start


@pytest.mark.parametrize("start", [b"G", b"GET / HTTP/1.1\r\nHost: x\r\nX: ", b"\r\n"])
def test_a_head_that_never_ends_is_given_up(program, start):
    with program.connect() as connection:
        connection.sendall(start)
        began = time.monotonic()
        assert problem(read(connection))["type"] == "/problems/request-timeout"
        assert time.monotonic() - began < 5 * SECONDS
    with program.connect() as connection:
        connection.sendall(start)
        assert trickle(connection, b"\r\n" if start == b"\r\n" else b"a") < 5 * SECONDS


def test_a_connection_that_sends_nothing_is_closed_without_a_word(program):
    with program.connect() as connection:
        assert read(connection) == b""


@pytest.mark.parametrize("piece", [b"\r\n", b"G"])
def test_after_an_answer_the_next_head_has_its_time_too(program, piece):
    with program.connect() as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        assert trickle(connection, piece) < 5 * SECONDS


class SlowBackend(FakeBackend):
    """Takes longer than a head may."""

    async def generate(self, noise, labels=None, *, deadline=None):
        await asyncio.sleep(0.4)
        return await super().generate(noise, labels, deadline=deadline)


def ask(line: socket.socket, sent: bytes) -> bytes:
    """Send requests and return the beginning of what is answered."""
    line.sendall(sent)
    return line.recv(65536)


@contextlib.contextmanager
def gateway(backend: FakeBackend, **settings: float) -> Iterator[Callable[[], socket.socket]]:
    """Run a gateway in this process; yield what connects to it."""
    with live(backend, Settings.model_validate(settings)) as url, contextlib.ExitStack() as stack:
        parts = urlsplit(url)

        def connect() -> socket.socket:
            line = stack.enter_context(socket.socket())
            line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32_768)
            line.settimeout(20)
            line.connect((parts.hostname, parts.port))
            return line

        yield connect


def test_the_time_for_a_request_does_not_run_while_the_models_work():
    posted = (
        b"POST /generate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
    )
    with gateway(SlowBackend(), body_timeout=0.1) as connect:
        lines = [connect(), connect()]
        for line, sent in zip(lines, (request(target=b"/generate?seed=1"), posted), strict=True):
            line.sendall(sent)
        assert all(line.recv(65536).startswith(b"HTTP/1.1 200") for line in lines)


def test_who_read_late_once_has_the_whole_time_for_the_next_answer():
    with gateway(FakeBackend(), answer_timeout=0.4) as connect:
        line = connect()
        line.sendall(request(target=b"/openapi.json") * 50)
        time.sleep(0.2)  # more is written than the line takes
        stream = line.makefile("rb")
        for _ in range(50):
            head = b""
            while (row := stream.readline()).strip():
                head += row
            length = int(re.findall(rb"content-length: (\d+)", head)[0])
            assert len(stream.read(length)) == length
        time.sleep(0.4)
        assert ask(line, request()).startswith(b"HTTP/1.1 200")


def test_who_has_its_answer_makes_room_for_another():
    with gateway(FakeBackend(), max_connections=2) as connect:
        answered = [connect(), connect()]
        for line in answered:
            assert ask(line, request()).startswith(b"HTTP/1.1 200")
        assert ask(connect(), request()).startswith(b"HTTP/1.1 200")
        assert read(answered[0]) == b""
        assert ask(answered[1], request()).startswith(b"HTTP/1.1 200")


class GrainyBackend(FakeBackend):
    """Draws what takes a megabyte a card as PNG."""

    def paint(self, noise):
        grain = np.random.default_rng(0)
        return grain.integers(0, 256, (len(noise), self.model.height, self.model.width, 3), np.uint8)


def test_who_still_reads_its_answer_makes_no_room_and_afterwards_does():
    head = b"POST /generate HTTP/1.1\r\nHost: x\r\nAccept: application/zip\r\nContent-Length: 9\r\n"
    with gateway(GrainyBackend(height=700, width=500), max_connections=2) as connect:
        reading, idle = connect(), connect()
        begun = ask(reading, head + b'Content-Type: application/json\r\n\r\n{"n": 12}')
        start, _, rest = begun.partition(b"\r\n\r\n")
        time.sleep(0.2)  # all that the system takes is written
        assert ask(idle, request()).startswith(b"HTTP/1.1 200")
        other = connect()
        assert ask(other, request()).startswith(b"HTTP/1.1 200")
        assert read(idle) == b""
        left = int(re.findall(rb"content-length: (\d+)", start)[0]) - len(rest)
        assert len(reading.makefile("rb").read(left)) == left
        time.sleep(0.1)
        assert ask(other, request()).startswith(b"HTTP/1.1 200")
        assert ask(connect(), request()).startswith(b"HTTP/1.1 200")
        assert read(reading) == b""


def test_who_waits_for_a_second_answer_makes_no_room():
    with gateway(SlowBackend(), max_connections=1) as connect:
        line = connect()
        received = ask(line, request() + request(target=b"/generate?seed=1"))
        assert received.startswith(b"HTTP/1.1 200")
        connect()
        while received.count(b"HTTP/1.1 200") < 2:  # an answer's body may come after its head
            piece = line.recv(65536)
            assert piece, "cut off before the second answer"
            received += piece


def test_two_hundred_slow_clients_hinder_nobody(program):
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(program.connect()) for _ in range(200)]
        for connection in slow:
            connection.sendall(b"POST /generate HTTP/1.1\r\nHost:")
        with program.connect() as connection:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert read(connection).startswith(b"HTTP/1.1 200")
        assert program.held() > 100
        assert all(problem(read(connection))["status"] == 408 for connection in slow)


@contextlib.contextmanager
def crowded(places: int):
    """A gateway with few places and much patience."""
    program = Program(HOLOFOIL_MAX_CONNECTIONS=str(places), HOLOFOIL_BODY_TIMEOUT="60")
    try:
        with contextlib.ExitStack() as stack:
            yield program, lambda: stack.enter_context(program.connect())
    finally:
        errors = program.stop()
    assert "Traceback" not in errors
    assert f"All {places} connections are taken" in errors


def is_at_work(connection: socket.socket) -> None:
    """Send a request whose body lacks its end."""
    connection.sendall(b"POST /generate HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n")
    connection.sendall(b"Content-Type: application/json\r\nConnection: close\r\n\r\n{")
    time.sleep(0.2)


def test_for_one_connection_too_many_the_one_idle_longest_goes_and_none_that_is_at_work():
    with crowded(50) as (program, connect):
        busy = connect()
        is_at_work(busy)
        idle = [connect() for _ in range(80)]
        connection = connect()
        connection.sendall(HEALTH)
        assert read(connection).startswith(b"HTTP/1.1 200")
        assert program.held() <= 51
        assert all(read(connection) == b"" for connection in idle[:32])
        idle[-1].sendall(HEALTH)
        assert read(idle[-1]).startswith(b"HTTP/1.1 200")
        busy.sendall(b"}")
        assert read(busy).startswith(b"HTTP/1.1 503")  # of the models, which are not there


def test_where_all_are_at_work_a_newcomer_is_told_so_once_it_asks():
    with crowded(3) as (_, connect):
        busy = [connect() for _ in range(3)]
        for connection in busy:
            is_at_work(connection)
        for _ in range(5):
            connection = connect()
            connection.sendall(HEALTH)
            assert problem(read(connection))["type"] == "/problems/overloaded"
        busy[0].close()
        time.sleep(0.2)
        connection = connect()
        connection.sendall(HEALTH)
        assert read(connection).startswith(b"HTTP/1.1 200")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
@pytest.mark.parametrize(
    ("soft", "hard", "allowed"), [(300, 300, 44), (300, 900, 644), (100, 100, 1), (300, 9000, 1000)]
)
def test_as_many_files_are_asked_for_as_the_connections_take(soft, hard, allowed):
    asking = f"""
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))
from serving.places import files_for
print(files_for(1000), resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""
    told = subprocess.run([sys.executable, "-c", asking], capture_output=True, text=True, check=True)
    assert told.stdout.split() == [str(allowed), str(min(hard, 1256))]
    assert ("The system allows" in told.stderr) is (allowed < 1000)


def request(*headers: bytes, target: bytes = b"/healthz") -> bytes:
    return b"\r\n".join([b"GET %s HTTP/1.1" % target, b"Host: x", *headers, b"", b""])


@pytest.mark.parametrize(
    "sent",
    [
        request(b"X: " + b"a" * MAX_HEAD),
        request(*[b"X%d: %s" % (i, b"a" * 4000) for i in range(9)]),
        request(*[b"X%d: a" % i for i in range(MAX_HEADERS)]),  # and Host is one more
        request(target=b"/" + b"a" * MAX_HEAD),
        b"X" * (MAX_HEAD + 1),
    ],
    ids=["one header", "nine headers", "too many headers", "target", "no end"],
)
def test_a_head_that_is_too_large_is_refused(program, sent):
    with program.connect() as connection:
        connection.sendall(sent)
        answer = problem(read(connection))
    assert answer["type"] in ("/problems/head-too-large", "/problems/malformed-request")
    assert (answer["type"] == "/problems/malformed-request") == (sent[:1] == b"X")


def test_a_large_head_within_the_bounds_is_read(program):
    with program.connect() as connection:
        many = [b"X%d: a" % i for i in range(MAX_HEADERS - 3)]
        connection.sendall(request(b"Connection: close", b"Y: " + b"a" * (MAX_HEAD - 2000), *many))
        assert read(connection).startswith(b"HTTP/1.1 200")


CHUNKED = (
    b"POST /generate HTTP/1.1\r\nHost: x\r\n"
    b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
)


@pytest.mark.parametrize(
    "start",
    [
        b"GET /",
        b"GET / HTTP/1.1\r\nX: ",
        b"GET / HTTP/1.1\r\n",
        CHUNKED + b"0\r\nX: ",
        CHUNKED + b"0\r\n",
        CHUNKED + b"1;x=",
    ],
    ids=["target", "header", "headers", "trailer", "trailers", "extension of a chunk"],
)
def test_an_endless_head_is_not_kept_in_memory(program, start):
    piece = b"a: b\r\n" * 10_000 if start.endswith(b"\n") else b"a" * 60_000
    before = program.process.memory_info().rss
    sent = 0
    with program.connect() as connection:
        connection.sendall(start)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            while sent < 200_000_000:
                connection.sendall(piece)
                sent += len(piece)
    assert sent < 20_000_000
    assert program.process.memory_info().rss - before < 20_000_000


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET http://[::1 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST /generate HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /generate HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\nBad Name: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: a\x00b\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: a\r\n folded\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
        b"GET /healthz HTTP/1.0\r\nHost: x\r\nHost: x\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: a/b c\r\n\r\n",
        b"POST /generate HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_what_is_no_request_is_a_problem(program, sent):
    with program.connect() as connection:
        connection.sendall(sent)
        answer = problem(read(connection))
    assert answer["status"] == 400
    assert answer["type"] == "/problems/malformed-request"


def test_what_is_no_request_is_logged_under_the_id_that_its_client_is_told(program):
    for given, sent in [
        (None, b"GET /healthz HTTP/1.1\r\n"),
        ("mine-7", b"GET / HTTP/1.1\r\nX-Request-ID: mine-7\r\n"),
    ]:
        with program.connect() as connection:
            connection.sendall(sent + b"\r\n")
            name = problem(read(connection))["instance"]
        assert given in (None, name)
        (line,) = (line for line in program.told().splitlines() if name in line)
        assert json.loads(line)["problem"] == "malformed-request"


@pytest.mark.parametrize("codings", ["gzip, chunked", "gzip\r\nTransfer-Encoding: chunked", "x, chunked"])
def test_a_body_in_another_coding_is_not_taken_for_what_it_holds(program, codings):
    with program.connect() as connection:
        head = f"POST /generate HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: {codings}\r\n\r\n"
        connection.sendall(head.encode() + b"0\r\n\r\n")
        found = problem(read(connection))
    assert (found["status"], found["type"]) == (501, "/problems/unknown-coding")


def test_trailers_are_no_headers_of_this_request_or_the_next(program):
    """A proxy that passes them on has not looked at them as it has at headers."""
    with program.connect() as connection:
        connection.sendall(CHUNKED + b'8\r\n{"n":99}\r\n0\r\nX-Request-ID: mine\r\nHost: y\r\n\r\n')
        connection.sendall(request(b"Connection: close"))
        received = read(connection)
    assert re.findall(rb"HTTP/1\.1 (\d{3}) ", received) == [b"422", b"200"]
    assert b"mine" not in received


def test_many_small_chunks_are_no_large_head(program):
    """Each has more bytes around it than in it."""
    body = b'{"n": 99}'.ljust(20_000)
    with program.connect() as connection:
        connection.sendall(CHUNKED + b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n")
        connection.sendall(request(b"Connection: close"))
        received = read(connection)
    assert re.findall(rb"HTTP/1\.1 (\d{3}) ", received) == [b"422", b"200"]


def test_pipelined_requests_are_answered_in_order(program):
    targets = [b"/healthz", b"/nothing", b"/openapi.json"] * 20
    with program.connect() as connection:
        connection.sendall(b"".join(request(target=target) for target in targets))
        connection.sendall(request(b"Connection: close"))
        received = read(connection)
    statuses = [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", received)]
    assert statuses == [200, 404, 200] * 20 + [200]


@pytest.mark.parametrize(
    "last",
    [b"\x00\r\n\r\n", b"POST /generate HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"],
    ids=["no request", "broken body"],
)
def test_what_is_no_request_is_answered_after_those_before_it(program, last):
    """An answer in the wrong place would be taken for that of a request which is being worked on."""
    with program.connect() as connection:
        connection.sendall(request(target=b"/generate?seed=1") * 2 + last)
        received = read(connection)
    assert re.findall(rb"HTTP/1\.1 (\d{3}) ", received) == [b"503", b"503", b"400"]
    assert problem(received[received.rindex(b"HTTP/1.1 400") :])["type"] == "/problems/malformed-request"


def test_other_protocols_are_offered_in_vain(program):
    """As curl and Java do at first, where they may speak HTTP/2."""
    asking = request(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk")
    with program.connect() as connection:
        connection.sendall(asking)
        received = b""
        while not received.endswith(b"}"):
            received += connection.recv(65536)
        assert received.startswith(b"HTTP/1.1 200")
        connection.sendall(request(b"Connection: close"))
        assert read(connection).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("written", [bytes.lower, bytes.upper])
@pytest.mark.parametrize("length", [b"Content-Length: 9", b"Transfer-Encoding: Chunked"])
def test_a_body_behind_an_offer_of_another_protocol_is_read(program, length, written):
    body = b'{"n": 99}' if length.startswith(b"C") else b'9\r\n{"n": 99}\r\n0\r\n\r\n'
    offer = written(b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk")
    head = b"POST /generate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" + offer
    with program.connect() as connection:
        connection.sendall(head + b"\r\n" + length + b"\r\n\r\n" + body)
        connection.sendall(request(b"Connection: close"))
        received = read(connection)
    assert re.findall(rb"HTTP/1\.1 (\d{3}) ", received) == [b"422", b"200"]


def test_what_a_body_says_of_other_protocols_is_left_as_it_is(program):
    head = (
        b"POST /generate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 13\r\n\r\n"
    )
    with program.connect() as connection:
        connection.sendall(head + b"{\nupgrade: h}" + request(b"Connection: close"))
        received = read(connection)
    assert re.findall(rb"HTTP/1\.1 (\d{3}) ", received) == [b"400", b"200"]


def test_an_offer_that_comes_in_two_pieces_is_refused_with_a_body(program):
    with program.connect() as connection:
        connection.sendall(
            b"POST /generate HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nConnection: Upgrade\r\nUpg"
        )
        time.sleep(0.05)
        connection.sendall(b"rade: h2c\r\n\r\n{}")
        assert problem(read(connection))["status"] == 400


def test_who_speaks_http_1_0_is_not_told_to_continue(program):
    """It would take that for the answer (RFC 9110, 10.1.1)."""
    with program.connect() as connection:
        connection.sendall(b"POST /generate HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        time.sleep(0.1)
        connection.sendall(b"{}")
        assert b" 100 " not in read(connection)


def test_a_blank_behind_the_host_is_no_part_of_it(program):
    with program.connect() as connection:
        connection.sendall(HEALTH.replace(b"Host: x", b"Host: x \t"))
        assert read(connection).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("target", [b"http://x", b"HTTP://x:80?a=b", b"http://x/"])
def test_an_address_without_a_path_is_the_page(program, target):
    with program.connect() as connection:
        connection.sendall(request(b"Connection: close", target=target))
        assert read(connection).startswith(b"HTTP/1.1 200")


def test_options_of_the_server_as_a_whole_are_answered_and_nothing_else_is_there(program):
    for method, status in ((b"OPTIONS", b"204 No Content"), (b"GET", b"404 Not Found")):
        with program.connect() as connection:
            asked = request(b"Connection: close", b"X-Request-ID: all-7", target=b"*")
            connection.sendall(asked.replace(b"GET", method))
            received = read(connection)
        assert received.startswith(b"HTTP/1.1 " + status)
        assert b"\r\nx-request-id: all-7\r\n" in received.lower()


def test_idle_connections_keep_nothing_of_what_they_brought():
    body = b'{"n": 1}'.ljust(60_000)
    head = b"POST /generate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    sent = head + b"Content-Length: %d\r\n\r\n" % len(body) + body
    with live(FakeBackend()) as url, contextlib.ExitStack() as stack:
        parts = urlsplit(url)

        def ask() -> None:
            line = stack.enter_context(socket.create_connection((parts.hostname, parts.port)))
            line.settimeout(20)
            line.sendall(sent)
            assert line.recv(65536).startswith(b"HTTP/1.1 200")

        ask()
        tracemalloc.start()
        try:
            for _ in range(50):
                ask()
            held, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert held < 50 * len(body) / 2


def test_an_answer_that_nobody_reads_is_not_held(program):
    """The client takes nothing in, and asks for far more than the system's buffers hold."""
    before = program.process.memory_info().rss
    with program.connect(SO_RCVBUF=4096) as connection:
        connection.sendall(request(target=b"/openapi.json") * 2000)
        while not program.held():
            time.sleep(0.01)
        assert program.lets_go(20 * SECONDS)
        assert program.process.memory_info().rss - before < 30_000_000


def test_who_hangs_up_half_way_is_forgotten_at_once(program):
    for sent in (
        b"",
        b"GET / HT",
        request(),
        b"POST /generate HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n{",
    ):
        with program.connect() as connection:
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            assert program.lets_go(SECONDS / 2)


def test_no_address_that_a_client_names_is_ever_called(program):
    """There is no way to make the gateway fetch: not by target, header, field, file name or picture."""
    with socket.create_server(("127.0.0.1", 0)) as canary:
        canary.settimeout(0.5)
        url = b"http://127.0.0.1:%d/x" % canary.getsockname()[1]
        svg = b'<svg xmlns="http://www.w3.org/2000/svg"><image href="%s"/></svg>' % url
        for name in (b"image", b"url", b"label", b"output_format", b"webhook"):
            body = b'{"%s": "%s"}' % (name, url)
            talk(program, b"POST /generate", body, b"Content-Type: application/json")
        part = b'--e\r\nContent-Disposition: form-data; name="files"; filename="%s"\r\n\r\n%s\r\n--e--\r\n'
        talk(program, b"POST /score", part % (url, svg), b"Content-Type: multipart/form-data; boundary=e")
        for header in (b"Host", b"Referer", b"Origin", b"X-Forwarded-Host", b"Forwarded", b"X-Original-URL"):
            talk(program, b"GET /", b"", b"%s: %s" % (header, url))
        for target in (url, b"//" + url[7:], b"/page/" + url, b"/generate?url=" + url):
            talk(program, b"GET " + target)
        with pytest.raises(TimeoutError):
            canary.accept()


def talk(program: Program, start: bytes, body: bytes = b"", *headers: bytes) -> bytes:
    host = [] if any(header.startswith(b"Host:") for header in headers) else [b"Host: x"]
    head = [start + b" HTTP/1.1", *host, b"Connection: close", b"Content-Length: %d" % len(body), *headers]
    with program.connect() as connection:
        connection.sendall(b"\r\n".join([*head, b"", body]))
        return read(connection)
