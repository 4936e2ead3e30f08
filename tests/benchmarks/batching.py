"""What the batcher costs one client and gives to many, on the starter models: make bench-batching."""

import asyncio
import os
import statistics
import time
from collections.abc import Awaitable, Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from serving import noise
from serving.backend import Backend
from serving.embedded import EmbeddedBackend
from serving.settings import STARTER_MODELS
from tests.fakes.batched import Batched

ROUNDS = 7
ALONE = 25
CLIENTS = 64
REQUESTS = 3  # of each client, one card each

Ask = Callable[[int], Awaitable[object]]


async def seconds(ask: Ask, seed: int) -> float:
    began = time.perf_counter()
    await ask(seed)
    return time.perf_counter() - began


async def rows_a_second(ask: Ask) -> float:
    async def client(number: int) -> None:
        for request in range(REQUESTS):
            await ask(number * REQUESTS + request)

    began = time.perf_counter()
    await asyncio.gather(*(client(number) for number in range(CLIENTS)))
    return CLIENTS * REQUESTS / (time.perf_counter() - began)


async def compare(title: str, plain: Ask, batched: Ask) -> None:
    """Print a row of the table; plain and batched alternate, so that both meet the same machine."""
    alone: dict[Ask, list[float]] = {plain: [], batched: []}
    many: dict[Ask, list[float]] = {plain: [], batched: []}
    for round in range(ROUNDS):
        for request in range(ALONE):
            for ask in (plain, batched):
                alone[ask].append(await seconds(ask, round * ALONE + request))
        for ask in (plain, batched):
            many[ask].append(await rows_a_second(ask))
    before, after = (1000 * statistics.median(alone[ask]) for ask in (plain, batched))
    single, shared = (statistics.median(many[ask]) for ask in (plain, batched))
    latency = f"{before:10.2f}{after:10.2f}{after / before:8.3f}"
    print(f"{title:10}{latency}{single:12.0f}{shared:12.0f}{shared / single:8.2f}")


async def main() -> None:
    models = EmbeddedBackend(STARTER_MODELS, deadline=60.0)
    info = await models.info()
    batcher = Batched(models, deadline=60.0)
    card = np.random.default_rng(1).integers(0, 256, (1, info.height, info.width, 3), np.uint8)

    def generate(backend: Backend) -> Ask:
        return lambda seed: backend.generate(noise.draw(seed, 1, info.noise_size))

    def score(backend: Backend) -> Ask:
        return lambda _: backend.score(card)

    print(f"{info.width}x{info.height}, one card a request; {CLIENTS} clients at once")
    print(f"{'':10}{'p50 ms':>10}{'batched':>10}{'ratio':>8}{'cards/s':>12}{'batched':>12}{'ratio':>8}")
    await compare("generate", generate(models), generate(batcher))
    await compare("score", score(models), score(batcher))
    await batcher.close()


if __name__ == "__main__":
    asyncio.run(main())
