"""Metrics for Prometheus: requests, their stages, the event loop, the models, and the process."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from importlib.metadata import version
from threading import Thread
from typing import TypeVar
from wsgiref.simple_server import WSGIServer

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    start_http_server,
)
from prometheus_client.exposition import choose_encoder
from starlette.responses import Response

from serving.backend import ModelInfo
from serving.exchange import Exchange

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Upper ends of the buckets of every duration.

From one encoded JPEG to a slow upload (15 s) with the longest wait for the models (10 s) behind it. Each is
2 to 2.5 times the last (the final one 3 times), so a quantile read from them is off by no more than that.
10 is the default deadline: what lies above it is late by definition.
"""

LAG_SECONDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0)
"""Upper ends of the buckets of the event loop's lag; 10 ms is what it should stay below."""

LAG_EVERY = 0.25
"""Seconds between two looks at the event loop's lag."""


M = TypeVar("M", Counter, Gauge, Histogram)


class Metrics:
    """One application's metrics, in a registry of its own, so that two applications never share a count."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)
        self.requests = self.labelled(
            Counter,
            "holofoil_http_requests",
            "Finished requests; `route` is the address pattern or `unknown`, status 499 means that the "
            "client disconnected before the answer.",
            ["method", "route", "status"],
        )
        self.request_seconds = self.labelled(
            Histogram,
            "holofoil_http_request_seconds",
            "Duration of each request in seconds, from its headers to the last byte of its answer.",
            ["route"],
            buckets=SECONDS,
        )
        self.in_flight = Gauge("holofoil_http_requests_in_flight", "Requests in progress.", registry=registry)
        self.received = self.labelled(
            Counter, "holofoil_http_received_bytes", "Bytes received in request bodies.", ["route"]
        )
        self.sent = self.labelled(
            Counter, "holofoil_http_sent_bytes", "Bytes sent in response bodies.", ["route"]
        )
        self.cards = self.labelled(
            Counter, "holofoil_cards", "Cards generated or scored in successful (2xx) answers.", ["route"]
        )
        self.stage_seconds = self.labelled(
            Histogram,
            "holofoil_stage_seconds",
            "Seconds a request spent in each stage, as in its Server-Timing header: queue (waiting for a "
            "model call), decode (reading images), infer (the models), encode (writing images).",
            ["route", "stage"],
            buckets=SECONDS,
        )
        self.loop_lag = Histogram(
            "holofoil_loop_lag_seconds",
            "Event loop lag in seconds: how late a timer fires. It delays every answer; keep it below 0.01.",
            buckets=LAG_SECONDS,
            registry=registry,
        )
        build = Gauge(
            "holofoil_build_info",
            "Always 1; the label names the running release.",
            ["version"],
            registry=registry,
        )
        build.labels(version("holofoil")).set(1)
        self.model = Gauge(
            "holofoil_model_info",
            "Always 1; the labels describe the models in use: version, card size, number of kinds of card.",
            ["version", "height", "width", "classes"],
            registry=registry,
        )

    def labelled(
        self, kind: Callable[..., M], name: str, words: str, labels: Sequence[str], **options: Sequence[float]
    ) -> Callable[..., M]:
        """Add a metric, and return a function from the values of its labels to the counter.

        It is cached: the library looks a counter up under a lock, which takes 4 µs.
        """
        return cache(kind(name, words, labels, registry=self.registry, **options).labels)

    def began(self) -> None:
        """Count a request that has begun."""
        self.in_flight.inc()

    def ended(self, exchange: Exchange) -> None:
        """Count a request that has ended."""
        route = exchange.route
        self.in_flight.dec()
        self.requests(exchange.method, route, str(exchange.status)).inc()
        self.request_seconds(route).observe(exchange.seconds)
        self.received(route).inc(exchange.received)
        self.sent(route).inc(exchange.sent)
        if HTTPStatus.OK <= exchange.status < HTTPStatus.MULTIPLE_CHOICES:
            self.cards(route).inc(exchange.timings.cards)
        for stage, seconds in exchange.timings.seconds.items():
            self.stage_seconds(route, stage).observe(seconds)

    def answering(self, info: ModelInfo) -> None:
        """Name the models that answer now, and forget those that answered before."""
        self.model.clear()
        self.model.labels(info.version, str(info.height), str(info.width), str(len(info.classes))).set(1)

    async def watch_loop(self) -> None:
        """Measure the event loop's lag for as long as it runs."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + LAG_EVERY
            await asyncio.sleep(LAG_EVERY)
            self.loop_lag.observe(max(0.0, loop.time() - due))

    def page(self, accept: str) -> Response:
        """Return what a scrape gets, as OpenMetrics where Accept asks for it. Takes milliseconds."""
        try:
            encode, media_type = choose_encoder(accept)
        except TypeError:  # of a version that is no number
            encode, media_type = choose_encoder("")
        return Response(encode(self.registry), media_type=media_type)

    def serve(self, host: str, port: int) -> "MetricsServer":
        """Answer scrapes on a port of their own, in a thread of its own; raise OSError if the port is taken.

        The thread answers even while the event loop is stuck, which is when one looks.
        """
        return MetricsServer(*start_http_server(port, host, self.registry))


@dataclass(frozen=True)
class MetricsServer:
    """The server behind a port for metrics alone."""

    server: WSGIServer
    thread: Thread

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return self.server.server_port

    def close(self) -> None:
        """Stop answering and free the port."""
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()
