"""Threads for pictures: how long a newcomer would wait, and what is refused for it, over real sockets."""

import asyncio
import concurrent.futures
import os
import sys
import threading
import time
from collections.abc import AsyncIterator

import pytest
from starlette.datastructures import Headers

from serving.admission import needs_picture_thread
from serving.cores import BEHIND, cores
from serving.pixels import Pixels
from serving.settings import Settings
from tests.fakes import pictures
from tests.fakes.backend import FakeBackend
from tests.fakes.live import live
from tests.serving.asking import client_of, is_problem

THREADS = 2
TOOK = 0.05  # seconds that a job is known to take
AT_MOST = 10  # seconds that a closed gate holds a thread, so that a test that fails comes to its end


@pytest.fixture
async def pixels() -> AsyncIterator[Pixels]:
    """Threads that have seen jobs of size 10 take a while."""
    pixels = Pixels(THREADS)
    for _ in range(3):
        await pixels.work("decode", 10, time.sleep, TOOK)
    yield pixels
    pixels.close()


async def test_nobody_waits_while_a_thread_is_free(pixels: Pixels):
    gate = threading.Event()
    job = asyncio.create_task(pixels.work("decode", 10, gate.wait, AT_MOST))
    await asyncio.sleep(0.01)
    assert pixels.wait == 0
    gate.set()
    assert await job


async def test_the_wait_is_that_for_all_work_ahead(pixels: Pixels):
    gate = threading.Event()
    jobs = [asyncio.create_task(pixels.work("decode", 10, gate.wait, AT_MOST)) for _ in range(4 * THREADS)]
    unknown = asyncio.create_task(pixels.work("encode", 10, gate.wait, AT_MOST))  # how long is not known yet
    await asyncio.sleep(0.01)
    assert pixels.wait == pytest.approx(4 * TOOK, rel=0.5)
    gate.set()
    await asyncio.gather(*jobs, unknown)
    assert pixels.wait == 0


async def test_work_for_the_gone_is_not_begun_and_not_waited_for(pixels: Pixels):
    gate, begun = threading.Event(), []
    running = [asyncio.create_task(pixels.work("decode", 10, gate.wait, AT_MOST)) for _ in range(THREADS)]
    waiting = [asyncio.create_task(pixels.work("decode", 10, begun.append, n)) for n in range(50)]
    await asyncio.sleep(0.01)
    full = pixels.wait
    for job in waiting:
        job.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert pixels.wait < full / 10
    gate.set()
    await asyncio.gather(*running)
    assert not begun


async def test_work_that_runs_for_the_gone_keeps_its_thread(pixels: Pixels):
    gate = threading.Event()
    running = [asyncio.create_task(pixels.work("decode", 10, gate.wait, AT_MOST)) for _ in range(THREADS)]
    await asyncio.sleep(0.05)
    for job in running:
        job.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    assert pixels.wait == pytest.approx(TOOK, rel=0.5)
    gate.set()
    await asyncio.sleep(0.2)
    assert pixels.wait == 0
    gate.clear()
    again = [asyncio.create_task(pixels.work("decode", 10, gate.wait, AT_MOST)) for _ in range(THREADS)]
    await asyncio.sleep(0.01)
    assert pixels.wait == pytest.approx(TOOK, rel=0.5)  # the gone are counted out once
    gate.set()
    await asyncio.gather(*again)


async def test_what_is_larger_is_waited_for_longer(pixels: Pixels):
    async def expected(size: int) -> float:
        gate = threading.Event()
        jobs = [asyncio.create_task(pixels.work("sized", size, gate.wait, AT_MOST)) for _ in range(THREADS)]
        await asyncio.sleep(0)
        wait = pixels.wait
        gate.set()
        await asyncio.gather(*jobs)
        return wait

    for _ in range(3):
        await pixels.work("sized", 1, time.sleep, TOOK / 10)
        await pixels.work("sized", 10, time.sleep, TOOK)
    assert await expected(10) > 2 * await expected(1) > 0


async def test_work_that_fails_fails_for_its_owner_and_is_over(pixels: Pixels):
    jobs = [pixels.work("decode", 10, int, "not a number") for _ in range(5)]
    failed = await asyncio.gather(*jobs, return_exceptions=True)
    assert all(isinstance(error, ValueError) for error in failed)
    assert pixels.wait == 0
    gate = threading.Event()
    more = [asyncio.create_task(pixels.work("decode", 10, gate.wait, AT_MOST)) for _ in range(2 * THREADS)]
    await asyncio.sleep(0.01)
    assert pixels.wait == pytest.approx(2 * TOOK, rel=0.5)  # nothing was learnt of what failed at once
    gate.set()
    await asyncio.gather(*more)


async def test_work_that_fails_late_is_waited_for_like_any_other(pixels: Pixels):
    def fail_late() -> None:
        time.sleep(4 * TOOK)
        raise ValueError("cut short")

    for _ in range(5):
        with pytest.raises(ValueError, match="cut short"):
            await pixels.work("decode", 10, fail_late)
    gate = threading.Event()
    more = [asyncio.create_task(pixels.work("decode", 10, gate.wait, AT_MOST)) for _ in range(2 * THREADS)]
    await asyncio.sleep(0.01)
    assert pixels.wait > 3 * TOOK  # twice what each took before
    gate.set()
    await asyncio.gather(*more)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a niceness for each thread")
async def test_the_threads_step_back_behind_the_event_loop(pixels: Pixels):
    def niceness() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    assert await pixels.work("look", 1, niceness) == min(19, niceness() + BEHIND)


def test_uploads_that_would_wait_too_long_are_refused_and_cards_are_drawn_meanwhile():
    upload = pictures.file(pictures.photograph(2400, 1800), "JPEG")
    with live(FakeBackend(), Settings(max_wait=0.02, max_rows=1000)) as url, client_of(url) as client:

        def score(_: int):
            return client.post("/score", content=upload, headers={"Content-Type": "image/jpeg"})

        assert score(0).status_code == 200  # how long one takes is known from now on
        at_once = 4 * cores()
        with concurrent.futures.ThreadPoolExecutor(at_once) as threads:
            scores = [threads.submit(score, n) for n in range(3 * at_once)]
            client.post("/score", content=b"no picture" * 99_999, headers={"Content-Type": "image/jpeg"})
            drawn = client.post("/generate", json={"seed": 7}, headers={"Accept": "image/png"})
            answers = [answer.result() for answer in scores]
        assert drawn.status_code == 200
        assert {answer.status_code for answer in answers} == {200, 503}
        for refused in (answer for answer in answers if answer.status_code == 503):
            is_problem(refused, 503, "overloaded")
            assert int(refused.headers["retry-after"]) >= 1
        assert score(0).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "query", "accept", "works"),
    [
        ("POST", "/score", b"", "", True),
        ("GET", "/generate", b"seed=7&format=webp", "*/*", True),
        ("GET", "/generate", b"seed=7", "image/avif,image/webp,*/*", False),  # as browsers ask for <img>
        ("POST", "/generate", b"", "image/webp", True),
        ("POST", "/generate", b"", "application/json, image/webp", False),
        ("POST", "/generate", b"", "image/png", False),
    ],
)
def test_what_needs_a_thread_for_a_single_card(
    method: str, path: str, query: bytes, accept: str, works: bool
):
    assert needs_picture_thread(method, path, query, Headers({"accept": accept})) is works
