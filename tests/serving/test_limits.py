"""Bodies that are too large, too slow or cut short, over real sockets."""

import contextlib
import json
import socket
import time
from urllib.parse import urlsplit

import httpx
import pytest

from serving.linger import LONGEST
from serving.settings import Settings
from tests.fakes.backend import FakeBackend
from tests.fakes.live import live

LIMITS = Settings(max_body=100_000, max_file=20_000, body_timeout=0.5)


@pytest.fixture(scope="module")
def url():
    with live(FakeBackend(), LIMITS) as url:
        yield url


def talk(url: str, *pieces: bytes, pause: float = 0) -> tuple[str, dict[str, str], dict]:
    """Send bytes as they are and read until the gateway hangs up: status line, headers, problem."""
    address = urlsplit(url)
    received = b""
    with socket.create_connection((address.hostname, address.port), timeout=10) as connection:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it may hang up while we send
            for piece in pieces:
                connection.sendall(piece)
                time.sleep(pause)
        with contextlib.suppress(ConnectionResetError):
            while piece := connection.recv(65536):
                received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    return status, headers, json.loads(body)


def post(path: str, *headers: str) -> bytes:
    return "\r\n".join([f"POST {path} HTTP/1.1", "Host: gateway", *headers, "", ""]).encode()


@pytest.mark.parametrize("path", ["/score", "/generate", "/nothing"])
def test_a_body_announced_too_large_is_refused_before_it_comes(url, path):
    status, headers, problem = talk(url, post(path, "Content-Length: 100001"))
    assert "413" in status
    assert headers["connection"] == "close"
    assert headers["content-type"] == "application/problem+json"
    assert problem["type"] == "/problems/too-large"
    assert problem["instance"] == headers["x-request-id"]
    assert "100,000" in problem["detail"]


def test_chunks_are_counted(url):
    head = post("/score", "Transfer-Encoding: chunked", "Content-Type: multipart/form-data; boundary=edge")
    pieces = [b"--edge\r\nA: b\r\n\r\n", *[b"x" * 10_000] * 11]
    status, headers, problem = talk(url, head, *(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces))
    assert "413" in status
    assert headers["connection"] == "close"
    assert problem["type"] == "/problems/too-large"


@pytest.mark.parametrize("content", [bytes(100_000), [bytes(50_000)] * 2], ids=["announced", "chunks"])
def test_a_body_as_large_as_it_may_be_is_read(url, content):
    given = content if isinstance(content, bytes) else iter(content)
    with httpx.Client(base_url=url, trust_env=False) as client:
        answer = client.post("/score", content=given, headers={"Content-Type": "image/png"})
    assert "20,000" in answer.json()["detail"]  # what one file may have, which a larger body would not hear


def test_who_breaks_off_after_a_refusal_hears_of_nothing_else(url):
    address = urlsplit(url)
    with socket.create_connection((address.hostname, address.port), timeout=10) as connection:
        connection.sendall(post("/score", "Content-Type: text/plain", "Transfer-Encoding: chunked"))
        received = connection.recv(65536)
        connection.sendall(b"no chunk\r\n")
        while piece := connection.recv(65536):
            received += piece
    assert received.startswith(b"HTTP/1.1 415")
    assert received.count(b"HTTP/1.1") == 1


def test_who_leaves_after_a_refusal_holds_nobody_up(url):
    address = urlsplit(url)
    for _ in range(3):
        with socket.create_connection((address.hostname, address.port), timeout=10) as connection:
            connection.sendall(post("/score", "Content-Type: text/plain", "Content-Length: 50000"))
            assert connection.recv(65536).startswith(b"HTTP/1.1 415")
    with httpx.Client(base_url=url, trust_env=False, timeout=5) as client:
        assert client.get("/healthz").status_code == 200


def test_a_file_above_its_own_limit_is_refused_and_the_connection_kept(url):
    with httpx.Client(base_url=url, trust_env=False) as client:
        answer = client.post("/score", files={"files": ("a.png", b"x" * 20_001)})
    assert answer.status_code == 413
    assert answer.json()["errors"][0]["pointer"] == "/files/0"
    assert "20,000" in answer.json()["detail"]
    assert "connection" not in answer.headers


@pytest.mark.parametrize(
    "head",
    [
        post("/generate", "Content-Type: application/json", "Content-Length: 10"),
        post("/score", "Content-Type: multipart/form-data; boundary=e", "Content-Length: 500"),
        post("/generate", "Content-Type: application/json", "Transfer-Encoding: chunked"),
    ],
)
def test_a_body_that_does_not_come_is_given_up(url, head):
    start = time.monotonic()
    status, headers, problem = talk(url, head)
    assert "408" in status
    assert headers["connection"] == "close"
    assert problem["type"] == "/problems/body-timeout"
    assert time.monotonic() - start >= LIMITS.body_timeout


def test_a_trickle_is_given_up_too(url):
    head = post("/generate", "Content-Type: application/json", "Content-Length: 10")
    status, _, _ = talk(url, head, *[b" "] * 4, pause=0.2)
    assert "408" in status


def test_a_multipart_body_cut_before_its_final_boundary_is_refused(url):
    body = b'--edge\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\nabc\r\n--edge\r\n'
    with httpx.Client(base_url=url, trust_env=False) as client:
        answer = client.post(
            "/score", content=body, headers={"Content-Type": "multipart/form-data; boundary=edge"}
        )
    assert answer.status_code == 400
    assert answer.json()["type"] == "/problems/malformed-body"


def test_an_answer_before_the_body_was_read_hangs_up(url):
    status, headers, problem = talk(url, post("/score", "Content-Type: text/plain", "Content-Length: 50000"))
    assert "415" in status
    assert headers["connection"] == "close"
    assert problem["type"] == "/problems/unsupported-media-type"


def test_a_client_that_leaves_in_the_middle_of_its_body_disturbs_nobody(url, caplog):
    address = urlsplit(url)
    with socket.create_connection((address.hostname, address.port)) as connection:
        connection.sendall(post("/generate", "Content-Type: application/json", "Content-Length: 10") + b"{")
        time.sleep(0.1)
    with httpx.Client(base_url=url, trust_env=False) as client:
        assert client.post("/generate").status_code == 200
    assert not caplog.records


@pytest.mark.parametrize(("chunks", "cards"), [([b'{"n"', b": 2}"], 2), ([], 1)])
def test_chunked_json_is_read(url, chunks, cards):
    with httpx.Client(base_url=url, trust_env=False) as client:
        answer = client.post("/generate", content=iter(chunks), headers={"Content-Type": "application/json"})
    assert len(answer.json()["data"]) == cards


@pytest.mark.parametrize("size", [90_000, 200_000], ids=["wrong type", "too large"])
def test_a_refusal_that_comes_before_the_body_is_not_lost(url, size):
    """A reset would have thrown it away, for a client that looks only after it has sent all."""
    address = urlsplit(url)
    head = b"POST /score HTTP/1.1\r\nHost: g\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % size
    with socket.create_connection((address.hostname, address.port), timeout=10) as connection:
        connection.sendall(head)
        time.sleep(0.1)  # the refusal is on its way
        connection.sendall(bytes(size // 2))
        time.sleep(0.1)
        connection.sendall(bytes(size - size // 2))
        time.sleep(0.1)
        received = b""
        while piece := connection.recv(65536):
            received += piece
    assert received.split()[1] == (b"415" if size < 100_000 else b"413")


def test_who_sends_for_ever_after_a_refusal_is_cut_off(url):
    address = urlsplit(url)
    began = time.monotonic()
    with socket.create_connection((address.hostname, address.port), timeout=10) as connection:
        connection.sendall(b"POST /score HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\n\r\n")
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            while time.monotonic() - began < 10 * LONGEST:
                connection.sendall(b"1\r\nx\r\n")
                time.sleep(0.01)
    assert time.monotonic() - began < 5 * LONGEST
