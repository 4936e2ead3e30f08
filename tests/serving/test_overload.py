"""More work than the models can do, clients with little time, and clients that leave, over real sockets."""

import asyncio
import concurrent.futures
import socket
import threading
import time
from collections.abc import Callable
from urllib.parse import urlsplit

import httpx
import pytest

from serving.contract import BATCH_SIZES
from serving.exchange import CLIENT_GONE
from serving.refusals import retry_after
from serving.settings import Settings
from tests.fakes import pictures
from tests.fakes.backend import FakeBackend
from tests.fakes.live import live, live_app
from tests.serving.asking import client_of, is_problem
from tests.serving.test_exchange import Ear

CARD = [("files", ("card.png", pictures.file(pictures.plain(70, 50))))]


AT_ONCE = {"Prefer": "wait=0"}
"""Has a request that is let in leave at once again."""


class GatedBackend(FakeBackend):
    """Answers calls only while its gate is open, and remembers how many rows each one had."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.calls: list[int] = []

    async def generate(self, noise, labels=None, *, deadline=None):
        await self.passed(len(noise))
        return await super().generate(noise, labels)

    async def score(self, cards, *, deadline=None):
        await self.passed(len(cards))
        return await super().score(cards)

    async def passed(self, rows: int) -> None:
        self.calls.append(rows)
        while not self.gate.is_set():
            await asyncio.sleep(0.005)


def soon(happened: Callable[[], bool]) -> None:
    until = time.monotonic() + 20
    while not happened():
        assert time.monotonic() < until
        time.sleep(0.01)


def settings(**given: object) -> Settings:
    return Settings.model_validate(given)


def test_a_full_queue_refuses_at_once_and_without_reading_a_body(caplog: pytest.LogCaptureFixture):
    backend = GatedBackend()
    with (
        live(backend, settings(max_rows=16, slots=1)) as url,
        client_of(url) as client,
        concurrent.futures.ThreadPoolExecutor(9) as threads,
    ):
        admitted = [threads.submit(client.post, "/generate", json={"n": 16})]
        soon(lambda: backend.calls == [16])
        admitted += [threads.submit(client.post, "/generate", json={"n": 8}) for _ in range(6)]
        soon(lambda: client.post("/generate", headers=AT_ONCE).status_code == 503)
        refused = client.post("/generate")
        is_problem(refused, 503, "overloaded")
        assert 1 <= int(refused.headers["retry-after"]) <= 36
        scoring = threads.submit(client.post, "/score", files=CARD)
        soon(lambda: sum(answer.done() for answer in admitted) == 4)  # those refused
        backend.gate.set()
        assert sorted(answer.result().status_code for answer in admitted) == [200] * 3 + [503] * 4
        assert scoring.result().status_code == 200
        assert client.post("/generate").status_code == 200
    assert "serving.refusals" not in {record.name for record in caplog.records}  # a line for each would cost


def test_a_full_queue_for_scores_reads_no_upload():
    backend = GatedBackend()
    with (
        live(backend, settings(max_rows=16, slots=1)) as url,
        client_of(url) as client,
        concurrent.futures.ThreadPoolExecutor(17) as threads,
    ):
        waiting = [threads.submit(client.post, "/score", files=CARD)]
        soon(lambda: backend.calls == [1])
        waiting += [threads.submit(client.post, "/score", files=CARD * 8) for _ in range(6)]
        soon(lambda: client.post("/score", files=CARD, headers=AT_ONCE).status_code == 503)
        host, port = urlsplit(url).hostname, urlsplit(url).port
        with socket.create_connection((host, port)) as line:
            line.sendall(
                b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\n"
                b"Content-Length: 1000000\r\n\r\n"
            )
            line.settimeout(20)
            answer = line.makefile("rb").read()  # all of it, before a byte of the body was sent
        assert answer.startswith(b"HTTP/1.1 503")
        assert b"/problems/overloaded" in answer
        soon(lambda: sum(answer.done() for answer in waiting) == 4)  # those refused
        backend.gate.set()
        assert sorted(answer.result().status_code for answer in waiting) == [200] * 3 + [503] * 4


def test_a_client_that_waits_a_second_is_told_after_a_second():
    with live(GatedBackend()) as url, client_of(url) as client:
        began = time.monotonic()
        late = client.post("/generate", headers={"Prefer": "wait=1"})
        assert 1 <= time.monotonic() - began < 5
        is_problem(late, 504, "deadline-exceeded")
        assert late.headers["preference-applied"] == "wait=1"


def test_rows_of_a_client_that_left_are_not_drawn():
    backend = GatedBackend()
    with (
        live(backend, settings(slots=1)) as url,
        client_of(url) as client,
        concurrent.futures.ThreadPoolExecutor(2) as threads,
    ):
        first = threads.submit(client.post, "/generate")
        soon(lambda: backend.calls == [1])
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{url}/generate", json={"n": 16}, timeout=0.5, trust_env=False)
        last = threads.submit(client.post, "/generate", json={"n": 3})
        time.sleep(0.3)
        backend.gate.set()
        assert first.result().status_code == last.result().status_code == 200
        assert sum(backend.calls) - 1 <= BATCH_SIZES[2]


def test_of_pipelined_requests_the_one_at_work_hears_that_its_client_has_left():
    backend, ear = GatedBackend(), Ear()
    with live_app(backend, settings(body_timeout=0.1)) as (app, url):
        app.state.witnesses.append(ear)
        with socket.create_connection((urlsplit(url).hostname, urlsplit(url).port)) as line:
            line.sendall(b"GET /generate?seed=1 HTTP/1.1\r\nHost: x\r\n\r\n" * 2)
            soon(lambda: backend.calls == [1])
            time.sleep(0.2)  # also when it leaves later than a body may come
        assert ear.next().status == CLIENT_GONE
        backend.gate.set()


def test_requests_at_the_same_time_share_calls_and_each_gets_its_own_cards():
    backend = GatedBackend()
    with (
        live(backend, settings(slots=1)) as url,
        client_of(url) as client,
        concurrent.futures.ThreadPoolExecutor(20) as threads,
    ):
        together = [threads.submit(client.post, "/generate", json={"seed": seed}) for seed in range(20)]
        soon(lambda: len(backend.calls) == 1)
        time.sleep(0.5)
        backend.gate.set()
        cards = [answer.result().json()["data"][0]["b64_json"] for answer in together]
        assert len(backend.calls) < 10
        for seed, card in enumerate(cards):
            again = client.post("/generate", json={"seed": seed})
            assert again.json()["data"][0]["b64_json"] == card
        assert len(set(cards)) == 20


def test_a_retry_is_asked_for_within_half_a_minute_and_not_from_all_at_once():
    assert {int(retry_after(0)) for _ in range(100)} <= {1, 2}
    spread = {int(retry_after(20)) for _ in range(200)}
    assert len(spread) > 1
    assert spread <= set(range(20, 25))
    assert max(int(retry_after(1e9)) for _ in range(100)) <= 36
