"""What the access log, the metrics, Server-Timing and traces cost a request, side by side in one process.

    python -m tests.benchmarks.observing_cost [--rounds N] [--requests N]

POST /generate for one card, on a backend that paints it at once. Requests go into the application without
a socket, a server or a client, all of which would make the share look smaller. The variants take turns at
every request, in random order; a ratio is a variant's processor time by the bare one's, the median over
rounds.
"""

import argparse
import asyncio
import contextlib
import os
import random
import statistics
import sys
import time
from collections.abc import Callable

from fastapi import FastAPI
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from starlette.types import Message, Scope

from serving import logs
from serving.app import create_app
from serving.exchange import Watch
from serving.settings import Settings
from tests.fakes.backend import FakeBackend

MOST = 1.10
BODIES = {"png": b'{"seed": 7}', "jpeg": b'{"seed": 7, "output_format": "jpeg"}'}


def bare() -> FastAPI:
    """The gateway without any of it."""
    app = create_app(Settings(), FakeBackend())
    app.user_middleware = [middleware for middleware in app.user_middleware if middleware.cls is not Watch]
    return app


def timed() -> FastAPI:
    """Server-Timing alone: nobody hears of the request."""
    app = create_app(Settings(), FakeBackend())
    app.state.witnesses.clear()
    return app


def counted() -> FastAPI:
    """Server-Timing and metrics."""
    app = create_app(Settings(), FakeBackend())
    del app.state.witnesses[1:]
    return app


def all_of_it() -> FastAPI:
    """Server-Timing, metrics and the access log: how the gateway runs."""
    return create_app(Settings(), FakeBackend())


def traced() -> FastAPI:
    """All of it, and a trace of every request."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(InMemorySpanExporter()))  # in this turn, not the next
    return create_app(Settings(), FakeBackend(), provider)


VARIANTS: dict[str, Callable[[], FastAPI]] = {
    "bare": bare,
    "Server-Timing": timed,
    "+ metrics": counted,
    "+ access log": all_of_it,
    "+ traces": traced,
}


def main() -> int:
    """Print the table; return 1 when log, metrics and Server-Timing together cost too much."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--requests", type=int, default=40)
    arguments = parser.parse_args()
    with open(os.devnull, "w") as nowhere:
        logs.configure("info", "json", nowhere)
        shares = [asyncio.run(compare(format, arguments.rounds, arguments.requests)) for format in BODIES]
    return int(max(shares) > MOST)


async def compare(format: str, rounds: int, requests: int) -> float:
    """Print one format's table; return the share that the gateway as it runs has of the bare one."""
    apps = {name: make() for name, make in VARIANTS.items()}
    seconds: dict[str, list[float]] = {name: [] for name in apps}
    async with contextlib.AsyncExitStack() as stack:
        for app in apps.values():
            await stack.enter_async_context(app.router.lifespan_context(app))
        for spent_seconds in [await spend(apps, format, requests) for _ in range(rounds + 1)][1:]:
            for name, spent in spent_seconds.items():
                seconds[name].append(spent)
    print(f"{format:<16}{'µs a request':>14}{'ratio':>8}{'lowest':>8}{'highest':>9}")
    for name, spent in seconds.items():
        ratios = [mine / its for mine, its in zip(spent, seconds["bare"], strict=True)]
        print(
            f"{name:<16}{1e6 * statistics.median(spent):>14.0f}{statistics.median(ratios):>8.3f}"
            f"{min(ratios):>8.3f}{max(ratios):>9.3f}"
        )
    return statistics.median(
        mine / its for mine, its in zip(seconds["+ access log"], seconds["bare"], strict=True)
    )


async def spend(apps: dict[str, FastAPI], format: str, requests: int) -> dict[str, float]:
    """Return the processor's seconds of a request to each, this process's threads included."""
    seconds = dict.fromkeys(apps, 0.0)
    for _ in range(requests):
        for name in random.sample(list(apps), len(apps)):
            began = time.process_time()
            await ask(apps[name], BODIES[format], f"image/{format}")
            seconds[name] += time.process_time() - began
    return {name: spent / requests for name, spent in seconds.items()}


async def ask(app: FastAPI, body: bytes, accept: str) -> None:
    """Send one request into an application and read its answer."""
    scope: Scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/generate",
        "raw_path": b"/generate",
        "query_string": b"",
        "root_path": "",
        "headers": [
            (b"host", b"localhost"),
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"accept", accept.encode()),
        ],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8000),
    }
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        if messages:
            return messages.pop()
        return await asyncio.get_running_loop().create_future()  # the client stays

    statuses: list[int] = []

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    await app(scope, receive, send)
    assert statuses == [200]


if __name__ == "__main__":
    sys.exit(main())
