"""What is known of a request from outside: the right route, status, sizes, and who heard of it."""

import asyncio
import contextlib
import json
import socket
import time
from urllib.parse import urlsplit

import httpx
import pytest

from serving.backend import Generated, Labels, Noise, Unavailable
from serving.exchange import Exchange
from tests.fakes import pictures
from tests.fakes.backend import FakeBackend
from tests.fakes.live import live_app

CARD = pictures.file(pictures.plain(70, 50))


class Ear:
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.begun = 0
        self.heard: list[Exchange] = []

    def began(self) -> None:
        self.begun += 1

    def ended(self, exchange: Exchange) -> None:
        self.heard.append(exchange)

    def ends(self, count: int) -> list[Exchange]:
        """Wait for so many requests to end: their answers are with the client a moment before."""
        patience = time.monotonic() + 10
        while len(self.heard) < count and time.monotonic() < patience:
            time.sleep(0.005)
        return self.heard

    def next(self) -> Exchange:
        """Wait for the next request to end."""
        return self.ends(1).pop(0)


@pytest.fixture(scope="module")
def served():
    backend, ear = FakeBackend(), Ear()
    with live_app(backend) as (app, url):
        app.state.witnesses.append(ear)
        with httpx.Client(base_url=url, trust_env=False, timeout=30) as client:
            yield client, ear, backend


@pytest.fixture
def client(served):
    return served[0]


@pytest.fixture
def ear(served):
    return served[1]


def sending(client: httpx.Client, rest: bytes) -> contextlib.closing[socket.socket]:
    """Begin an upload that no client of a library would send."""
    url = urlsplit(str(client.base_url))
    connection = socket.create_connection((url.hostname, url.port), timeout=10)
    head = b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\n"
    connection.sendall(head + rest)
    return contextlib.closing(connection)


def test_a_request_is_told_by_its_route_with_bytes_cards_and_stages(client, ear):
    sent = json.dumps({"n": 3}).encode()
    answer = client.post("/generate", content=sent, headers={"Content-Type": "application/json"})
    told = ear.next()
    assert (told.method, told.route, told.status, told.client) == ("POST", "/generate", 200, "127.0.0.1")
    assert (told.received, told.sent, told.timings.cards) == (len(sent), len(answer.content), 3)
    assert {"queue", "infer", "encode"} <= set(told.timings.seconds)
    assert sum(told.timings.seconds.values()) < told.seconds
    client.post("/score", files=[("files", ("a.png", CARD)), ("files", ("b.png", CARD))])
    told = ear.next()
    assert (told.route, told.timings.cards) == ("/score", 2)
    assert told.received > 2 * len(CARD)
    assert {"decode", "infer"} <= set(told.timings.seconds)


def test_answers_carry_their_timing(client, ear):
    drawn = client.post("/generate")
    assert {part.split(";")[0] for part in drawn.headers["server-timing"].split(", ")} >= {"infer", "encode"}
    assert "server-timing" not in client.get("/healthz").headers
    for _ in range(2):
        ear.next()


@pytest.mark.parametrize(
    ("method", "path", "told"),
    [
        ("GET", "/nothing/here?seed=1", ("GET", "unknown", 404)),
        ("GET", "/generates", ("GET", "unknown", 404)),
        ("DELETE", "/generate", ("DELETE", "/generate", 405)),
        ("PROPFIND", "/coffee", ("OTHER", "unknown", 404)),
        ("GET", "/page/page.css", ("GET", "/page", 200)),
        ("GET", "/page/../../etc/passwd", ("GET", "unknown", 404)),
        ("GET", "/", ("GET", "/", 200)),
    ],
)
def test_whatever_is_asked_for_the_names_have_a_bound(client, ear, method, path, told):
    client.request(method, path)
    heard = ear.next()
    assert (heard.method, heard.route, heard.status) == told


def test_a_refusal_by_the_outermost_guard_is_told_too(client, ear):
    with sending(client, b"Content-Length: 999999999\r\n\r\n") as connection:
        assert connection.recv(100).startswith(b"HTTP/1.1 413")
    assert ear.next().status == 413


def test_a_failure_of_the_models_is_told_as_its_client_saw_it(served):
    client, ear, backend = served
    backend.failure = Unavailable("Gone.")
    try:
        answer = client.post("/score", files=[("files", ("a.png", CARD))])
    finally:
        backend.failure = None
    told = ear.next()
    assert (answer.status_code, told.status) == (503, 503)


def test_a_client_that_leaves_while_it_sends_is_499(client, ear):
    with sending(client, b"Content-Length: 1000\r\n\r\n--b"):
        pass
    told = ear.next()
    assert (told.status, told.route, told.received) == (499, "/score", 3)


class HeldBackend(FakeBackend):
    """Never draws."""

    async def generate(
        self, noise: Noise, labels: Labels | None = None, *, deadline: float | None = None
    ) -> Generated:
        await asyncio.sleep(60)
        raise AssertionError


def test_a_client_that_leaves_while_the_models_work_is_499():
    ear = Ear()
    with live_app(HeldBackend()) as (app, url):
        app.state.witnesses.append(ear)
        address = urlsplit(url)
        with contextlib.closing(socket.create_connection((address.hostname, address.port))) as connection:
            connection.sendall(b"POST /generate HTTP/1.1\r\nHost: x\r\n\r\n")
            while b"holofoil_dispatch_total{" not in app.state.metrics.page("").body:
                time.sleep(0.005)
        told = ear.next()
    assert (told.status, told.route, told.timings.cards) == (499, "/generate", 1)


def test_everything_that_began_has_ended(ear):
    assert ear.heard == []
    assert ear.begun > 10
