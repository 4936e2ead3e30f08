"""Where there is no room for a card a request is refused before anything of it is read, over real sockets."""

import concurrent.futures
import contextlib
import logging
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pytest

from serving.settings import Settings
from tests.fakes.live import live
from tests.serving.asking import client_of, is_problem
from tests.serving.test_overload import AT_ONCE, GatedBackend, soon


@contextlib.contextmanager
def full() -> Iterator[httpx.Client]:
    """Run a gateway whose queue for cards is full; yield a client of it."""
    backend = GatedBackend()
    with (
        live(backend, Settings(max_rows=16, slots=1, metrics="here", body_timeout=1.0, deadline=60)) as url,
        client_of(url) as client,
        concurrent.futures.ThreadPoolExecutor(2) as threads,
    ):
        waiting = [threads.submit(client.post, "/generate", json={"n": 16})]
        soon(lambda: backend.calls == [16])
        waiting.append(threads.submit(client.post, "/generate", json={"n": 16}))
        soon(lambda: client.post("/generate", headers=AT_ONCE).status_code == 503)
        try:
            yield client
        finally:
            backend.gate.set()
        assert [answer.result().status_code for answer in waiting] == [200, 200]


@pytest.fixture(scope="module")
def crowded() -> Iterator[httpx.Client]:
    with full() as client:
        yield client


def test_nothing_of_a_refused_request_is_read(crowded: httpx.Client):
    for body in (b'{"n": 99}', b"{", b"x" * 70_000):
        refused = crowded.post("/generate", content=body, headers={"Content-Type": "application/json"})
        is_problem(refused, 503, "overloaded")
        assert 1 <= int(refused.headers["retry-after"]) <= 36


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/generate"), ("GET", "/generate?seed=7"), ("POST", "/morph")]
)
def test_all_that_draws_is_refused(crowded: httpx.Client, method: str, path: str):
    refused = crowded.request(method, path, headers={"Prefer": "wait=2"})
    is_problem(refused, 503, "overloaded")
    assert refused.headers["preference-applied"] == "wait=2"
    assert refused.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/models", 200),
        ("GET", "/readyz", 200),
        ("PUT", "/generate", 405),
        ("HEAD", "/generate?seed=7", 200),
    ],
)
def test_what_needs_no_model_is_answered(crowded: httpx.Client, method: str, path: str, status: int):
    assert crowded.request(method, path).status_code == status


def test_scores_have_room_of_their_own(crowded: httpx.Client):
    is_problem(crowded.post("/score", content=b"", headers={"Content-Type": "image/png"}), 422, "validation")


def test_a_refused_client_keeps_its_connection(crowded: httpx.Client):
    address = urlsplit(str(crowded.base_url))
    request = (
        b"POST /generate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n"
    )
    with socket.create_connection((address.hostname, address.port)) as line:
        line.settimeout(20)
        for _ in range(3):
            line.sendall(request)
            line.sendall(b"{}")  # a packet of its own
            assert line.recv(65536).startswith(b"HTTP/1.1 503")


def test_a_body_that_never_comes_is_not_waited_for(crowded: httpx.Client):
    address = urlsplit(str(crowded.base_url))
    with socket.create_connection((address.hostname, address.port)) as line:
        line.settimeout(20)
        line.sendall(b"POST /generate HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n")
        answer = line.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 503")
    assert b"\r\nconnection: close\r\n" in answer.lower()


def test_a_card_that_the_client_has_needs_no_room(crowded: httpx.Client):
    known = crowded.head("/generate?seed=7").headers["etag"]
    assert crowded.get("/generate?seed=7", headers={"If-None-Match": known}).status_code == 304


def test_refusals_are_counted_under_their_route_and_logged_a_few_at_a_time(caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.WARNING, "serving"), full() as client:
        for _ in range(20):
            client.post("/generate")
        page = client.get("/metrics").text
    counted = [line for line in page.splitlines() if 'route="/generate",status="503"' in line]
    assert float(counted[0].split()[-1]) >= 20
    told = [record for record in caplog.records if "Requests refused" in record.getMessage()]
    assert len(told) == 1
