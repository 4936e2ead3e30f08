"""A gateway's resident memory while the heaviest pictures and bodies come in, many at once."""

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import httpx
import pytest
from PIL import Image

from tests.fakes import pictures
from tests.fakes.corpus import bombs
from tests.fakes.process import MIB, Gateway, running

ROOM = 64  # MiB for all bodies
PER_PICTURE = 400  # MiB for one of 16 megapixels while it is decoded, one at a time


@pytest.fixture(scope="module")
def largest() -> bytes:
    """A picture of 16 megapixels with transparency, which takes the most memory of all, in 38 bytes."""
    green = Image.new("RGBA", (4000, 4000), (9, 99, 9, 128))
    return pictures.file(green, "WEBP", lossless=True, method=0)


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    # Refused at once, requests would take no memory at all.
    with running(max_bodies=ROOM * MIB, max_wait=600, deadline=600) as gateway:
        yield gateway


@contextlib.contextmanager
def watched(gateway: Gateway) -> Iterator[list[float]]:
    """Note the gateway's memory every few milliseconds."""
    seen, done = [gateway.memory], threading.Event()

    def watch() -> None:
        while not done.wait(0.005):
            seen.append(gateway.memory)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield seen
    finally:
        done.set()
        watcher.join()


def at_once(requests: int, send: Callable[[int], int]) -> list[int]:
    with ThreadPoolExecutor(requests) as pool:
        return list(pool.map(send, range(requests)))


def score(gateway: Gateway, *files: bytes) -> int:
    uploads = [("files", ("card", data)) for data in files]
    answer = httpx.post(f"{gateway.url}/score", files=uploads, trust_env=False, timeout=300)
    return answer.status_code


def test_many_of_the_largest_pictures_are_decoded_one_at_a_time(gateway, largest):
    before = gateway.memory
    with watched(gateway) as seen:
        assert at_once(3, lambda _: score(gateway, largest, largest)) == [200] * 3
    assert before + 100 < max(seen) < before + PER_PICTURE + 60


def test_bombs_take_no_memory_worth_mentioning(gateway):
    before = gateway.memory
    files = [case.data for case in bombs() if case.refused]
    with watched(gateway) as seen:
        assert at_once(8, lambda _: score(gateway, *files)) == [422] * 8
    assert max(seen) < before + ROOM + 100


def test_many_bodies_are_held_up_to_a_bound_and_the_others_told_to_come_again(gateway):
    address = urlsplit(gateway.url)
    head = b"POST /score HTTP/1.1\r\nHost: g\r\nContent-Type: multipart/form-data; boundary=e\r\n"
    head += b"Content-Length: %d\r\n\r\n" % (10 * MIB)
    body = b'--e\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n' + bytes(7 * MIB)
    before = gateway.memory
    with watched(gateway) as seen, contextlib.ExitStack() as opened:
        refused = 0
        connections = [
            opened.enter_context(socket.create_connection((address.hostname, address.port), timeout=30))
            for _ in range(40)
        ]
        for connection in connections:
            with contextlib.suppress(OSError):  # the gateway hangs up while we send
                connection.sendall(head + body)
        for connection in connections:
            connection.settimeout(0.2)
            with contextlib.suppress(OSError):
                refused += b" 503 " in connection.recv(100)
        assert refused >= 40 - ROOM // 7 - 1
        assert httpx.get(f"{gateway.url}/healthz", trust_env=False).status_code == 200
    assert max(seen) < before + 2 * ROOM + 50
    deadline = time.monotonic() + 20
    while score(gateway, pictures.file(pictures.plain())) != 200 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert score(gateway, pictures.file(pictures.plain())) == 200


def test_clients_that_leave_do_not_leave_threads_behind(gateway, largest):
    """A picture that is being decoded cannot be stopped, so it has to keep its place among the threads."""
    address = urlsplit(gateway.url)
    head = b"POST /score HTTP/1.1\r\nHost: g\r\nContent-Type: image/webp\r\nContent-Length: %d\r\n\r\n"
    before = gateway.process.num_threads()
    for _ in range(20):
        with socket.create_connection((address.hostname, address.port), timeout=30) as connection:
            connection.sendall(head % len(largest) + largest)
            time.sleep(0.05)
    assert gateway.process.num_threads() <= before + (os.cpu_count() or 1)
    assert score(gateway, pictures.file(pictures.plain())) == 200
