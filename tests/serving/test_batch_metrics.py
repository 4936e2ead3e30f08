"""What a scrape finds of the batcher's work, from the batcher itself."""

import asyncio
import re

import numpy as np
import pytest

from serving import timings
from serving.backend import BadAnswer, DeadlineExceeded, Generated, Labels, Noise, Overloaded
from serving.batch_metrics import BatchMetrics
from serving.contract import BATCH_SIZES, GENERATE
from serving.metrics import Metrics
from serving.timings import Timings
from tests.fakes.backend import FakeBackend
from tests.fakes.batched import Batched

FULL = BATCH_SIZES[-1]


class HeldBackend(FakeBackend):
    """Draws once it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.go = asyncio.Event()

    async def generate(
        self, noise: Noise, labels: Labels | None = None, *, deadline: float | None = None
    ) -> Generated:
        await self.go.wait()
        return await super().generate(noise, labels, deadline=deadline)


def rows(n: int) -> Noise:
    return np.zeros((n, 12), np.float32)


def of(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"holofoil_{name}", {"model": GENERATE.model, **labels})


async def test_calls_are_counted_with_their_rows_their_padding_and_why_they_were_made():
    metrics, backend = Metrics(), HeldBackend()
    batcher = Batched(backend, deadline=30, max_rows=2 * FULL, observer=BatchMetrics(metrics))
    first = asyncio.create_task(batcher.generate(rows(3)))
    await asyncio.sleep(0.01)
    full = [asyncio.create_task(batcher.generate(rows(FULL))) for _ in range(2)]
    await asyncio.sleep(0)
    assert of(metrics, "queue_rows") == 2 * FULL
    with pytest.raises(Overloaded):
        await batcher.generate(rows(1))
    assert of(metrics, "rejected_total", reason="full") == 1
    backend.go.set()
    await asyncio.gather(first, *full)
    await batcher.close()
    assert of(metrics, "batch_rows_sum") == 3 + 2 * FULL
    assert of(metrics, "batch_rows_bucket", le="4.0") == 1
    assert of(metrics, "padding_rows_total") == 1
    assert of(metrics, "dispatch_total", reason="free") == 1
    assert of(metrics, "dispatch_total", reason="full") == 2
    assert of(metrics, "infer_seconds_count") == 3
    assert (of(metrics, "infer_seconds_sum") or 0) >= 0.01
    assert of(metrics, "queue_rows") == 0


async def test_rows_that_nobody_waits_for_are_counted_by_why():
    metrics, backend = Metrics(), HeldBackend()
    batcher = Batched(backend, deadline=30, observer=BatchMetrics(metrics))
    first = asyncio.create_task(batcher.generate(rows(1)))
    await asyncio.sleep(0.01)
    gone = asyncio.create_task(batcher.generate(rows(5)))
    late = asyncio.create_task(batcher.generate(rows(7), deadline=asyncio.get_running_loop().time() + 0.05))
    await asyncio.sleep(0.01)
    gone.cancel()
    await asyncio.wait([gone, late])
    backend.go.set()
    await first
    await batcher.close()
    assert of(metrics, "abandoned_rows_total", reason="gone") == 5
    assert of(metrics, "abandoned_rows_total", reason="late") == 7
    assert of(metrics, "batch_rows_sum") == 1


async def test_a_refusal_tells_whether_the_models_or_the_threads_for_pixels_were_short():
    metrics, backend = Metrics(), HeldBackend()
    batcher = Batched(backend, deadline=30, max_rows=2, observer=BatchMetrics(metrics))
    with pytest.raises(Overloaded), batcher.drawing(1, picture_wait=60):
        pass
    assert of(metrics, "rejected_total", reason="pixels") == 1
    with batcher.drawing(2), pytest.raises(Overloaded), batcher.drawing(1, picture_wait=60):
        pass
    assert of(metrics, "rejected_total", reason="full") == 1
    with (
        pytest.raises(DeadlineExceeded),
        batcher.drawing(1, asyncio.get_running_loop().time(), picture_wait=60),
    ):
        pass
    assert of(metrics, "rejected_total", reason="late") == 1
    assert of(metrics, "rejected_total", reason="pixels") == 1
    await batcher.close()


async def test_a_call_that_is_halved_is_counted():
    metrics, backend = Metrics(), HeldBackend()
    batcher = Batched(backend, deadline=30, observer=BatchMetrics(metrics))
    first = asyncio.create_task(batcher.generate(rows(1)))
    await asyncio.sleep(0.01)
    pair = [asyncio.create_task(batcher.generate(rows(1))) for _ in range(2)]
    await asyncio.sleep(0)
    backend.failure = BadAnswer("Nonsense.")
    backend.go.set()
    await asyncio.gather(first, *pair, return_exceptions=True)
    await batcher.close()
    assert of(metrics, "isolated_total") == 1


async def test_other_models_take_the_place_of_those_before():
    metrics, backend = Metrics(), FakeBackend()
    batcher = Batched(backend, deadline=30, observer=BatchMetrics(metrics))
    for height in (70, 70, 80):
        backend.model = FakeBackend(height=height).model
        await batcher.info()
    await batcher.close()
    assert re.findall(r'height="(\d+)"', bytes(metrics.page("").body).decode()) == ["80"]


async def test_a_request_learns_how_long_it_waited_and_for_how_many_cards():
    backend, mine = HeldBackend(), Timings()
    batcher = Batched(backend, deadline=30, observer=BatchMetrics(Metrics()))

    async def ask(n: int) -> None:
        timings.begin(mine if n == 2 else Timings())
        await batcher.generate(rows(n))

    first = asyncio.create_task(ask(1))
    await asyncio.sleep(0.01)
    second = asyncio.create_task(ask(2))
    await asyncio.sleep(0.05)
    backend.go.set()
    await asyncio.gather(first, second)
    await batcher.close()
    assert mine.cards == 2
    assert mine.seconds["queue"] >= 0.05
    assert 0 < mine.seconds["infer"] < mine.seconds["queue"]
