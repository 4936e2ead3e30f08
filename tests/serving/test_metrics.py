"""What a scrape finds, on either port, and that two applications share nothing."""

import contextlib
import socket
import time
from collections.abc import Iterator
from importlib import metadata
from itertools import pairwise
from urllib.parse import urlsplit

import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from serving.app import create_app
from serving.metrics import LAG_EVERY, SECONDS, Metrics
from serving.settings import Settings
from tests.fakes import pictures
from tests.fakes.backend import FakeBackend
from tests.fakes.live import live_app

CARD = pictures.file(pictures.plain(70, 50))
OPEN = "application/openmetrics-text"
BESIDE = Settings(metrics="here")


class Numbers:
    """A scrape, as Prometheus would ask for it: a name, and labels by which to sum."""

    def __init__(self, text: str) -> None:
        self.samples = [sample for family in read_text(text) for sample in family.samples]

    def of(self, name: str, **labels: str) -> float:
        return sum(
            sample.value
            for sample in self.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )


def client_of(url: str) -> httpx.Client:
    return httpx.Client(base_url=url, trust_env=False, timeout=30)


def scrape(metrics: Metrics) -> Numbers:
    return Numbers(bytes(metrics.page("").body).decode())


@pytest.fixture
def served() -> Iterator[tuple[httpx.Client, Metrics]]:
    with live_app(FakeBackend(classes=("elf", "orc")), BESIDE) as (app, url), client_of(url) as client:
        yield client, app.state.metrics


def test_the_release_is_told() -> None:
    assert scrape(Metrics()).of("holofoil_build_info", version=metadata.version("holofoil")) == 1


def until_ended(metrics: Metrics, requests: int) -> Numbers:
    """Scrape until as many requests have ended: an answer is with its client a moment before."""
    patience = time.monotonic() + 10
    while (numbers := scrape(metrics)).of("holofoil_http_requests_total") < requests:
        assert time.monotonic() < patience
        time.sleep(0.005)
    return numbers


def test_requests_are_counted_by_route_method_and_status(served):
    client, metrics = served
    for path in ("/generate", "/generate", "/a", "/b", "/c"):
        client.post(path)
    client.post("/generate", json={"n": 99})
    numbers = until_ended(metrics, 6)
    count = "holofoil_http_requests_total"
    assert numbers.of(count, route="/generate", method="POST", status="200") == 2
    assert numbers.of(count, route="/generate", status="422") == 1
    assert numbers.of(count, route="unknown", status="404") == 3
    assert numbers.of(count) == 6
    assert numbers.of("holofoil_http_requests_in_flight") == 0


def test_cards_bytes_and_stages_add_up(served):
    client, metrics = served
    answers = [client.post("/generate", json={"n": n}) for n in (1, 4)]
    client.post("/score", files=[("files", ("a.png", CARD))])
    client.post("/score", files=[("files", ("a.png", b"no card"))])
    numbers = until_ended(metrics, 4)
    assert numbers.of("holofoil_cards_total", route="/generate") == 5
    assert numbers.of("holofoil_cards_total", route="/score") == 1
    sent = sum(len(answer.content) for answer in answers)
    assert numbers.of("holofoil_http_sent_bytes_total", route="/generate") == sent
    assert numbers.of("holofoil_http_received_bytes_total", route="/score") > len(CARD)
    assert numbers.of("holofoil_stage_seconds_count", route="/generate", stage="encode") == 2
    assert numbers.of("holofoil_stage_seconds_count", route="/score", stage="decode") == 2
    assert numbers.of("holofoil_http_request_seconds_count", route="/generate") == 2
    spent = numbers.of("holofoil_http_request_seconds_sum", route="/generate")
    assert 0 < numbers.of("holofoil_stage_seconds_sum", route="/generate") < spent


def test_labels_do_not_grow_with_what_clients_send(served):
    client, metrics = served
    client.get("/x0")
    before = len(until_ended(metrics, 1).samples)
    for index in range(1, 40):
        client.get(f"/x{index}", headers={"X-Request-ID": f"id{index}", "User-Agent": f"agent/{index}"})
    assert len(until_ended(metrics, 40).samples) == before


def test_a_scrape_tells_the_process_the_models_and_the_loops_lag(served):
    client, metrics = served
    client.get("/readyz")
    time.sleep(3 * LAG_EVERY)
    numbers = until_ended(metrics, 1)
    assert numbers.of("process_resident_memory_bytes") > 1e6
    assert numbers.of("holofoil_model_info", version=FakeBackend().model.version, classes="2") == 1
    assert numbers.of("holofoil_loop_lag_seconds_count") >= 1


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"nonsense\r\n\r\n", "malformed-request"),
        (b"X" * 40_000, "malformed-request"),  # which is too large as well
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + 40_000 * b"x", "head-too-large"),
        (b"GET / HT", "request-timeout"),
        (b"", "silent"),
    ],
)
def test_connections_that_the_gateway_ends_are_counted_by_why(sent: bytes, reason: str):
    settings = Settings(metrics="here", body_timeout=0.3)
    with live_app(FakeBackend(), settings) as (app, url):
        parts = urlsplit(url)
        with socket.create_connection((parts.hostname, parts.port)) as line:
            line.settimeout(20)
            line.sendall(sent)
            line.makefile("rb").read()
            numbers = scrape(app.state.metrics)
            assert numbers.of("holofoil_connections_cut_total", reason=reason) == 1
            assert numbers.of("holofoil_connections_cut_total") == 1
        until = time.monotonic() + 10
        while scrape(app.state.metrics).of("holofoil_connections"):
            assert time.monotonic() < until
            time.sleep(0.005)


@pytest.mark.parametrize("sent", [b"", b"GET / HT"])
def test_connections_that_the_client_ends_are_not_counted_as_cut(sent: bytes):
    with live_app(FakeBackend(), Settings(body_timeout=0.1)) as (app, url):
        parts = urlsplit(url)
        with socket.create_connection((parts.hostname, parts.port)) as line:
            line.sendall(sent)
        time.sleep(0.2)
        assert scrape(app.state.metrics).of("holofoil_connections_cut_total") == 0


def test_connections_that_make_room_are_counted():
    settings = Settings(metrics="here", max_connections=2)
    with live_app(FakeBackend(), settings) as (app, url), contextlib.ExitStack() as stack:
        parts = urlsplit(url)
        first, *_ = [
            stack.enter_context(socket.create_connection((parts.hostname, parts.port))) for _ in range(3)
        ]
        first.settimeout(20)
        assert first.recv(1) == b""
        numbers = scrape(app.state.metrics)
        assert numbers.of("holofoil_connections_cut_total", reason="crowded") == 1


def test_the_metric_of_the_models_follows_the_version_that_answers():
    metrics = Metrics()
    for version in ("1", "2"):
        backend = FakeBackend(height=80 if version == "2" else 70)
        metrics.answering(backend.model)
    assert scrape(metrics).of("holofoil_model_info") == 1
    assert scrape(metrics).of("holofoil_model_info", height="80") == 1


@pytest.mark.parametrize(
    ("accept", "media_type", "read"),
    [
        ("", "text/plain", read_text),
        (f"{OPEN};version=latest", "text/plain", read_text),
        (
            f"{OPEN};version=1.0.0,text/plain;q=0.5",
            OPEN,
            read_openmetrics,
        ),
    ],
)
def test_a_scrape_comes_in_the_form_that_was_asked_for(served, accept, media_type, read):
    client, _ = served
    answer = client.get("/metrics", headers={"Accept": accept})
    assert answer.headers["content-type"].startswith(media_type)
    assert answer.headers["cache-control"] == "no-cache"
    assert {family.name for family in read(answer.text)} > {
        "holofoil_http_request_seconds",
        "process_open_fds",
    }


@pytest.mark.parametrize("settings", [Settings(), Settings(metrics="127.0.0.1:9464")])
def test_unless_asked_for_metrics_are_not_beside_all_else(settings):
    with live_app(FakeBackend(), settings) as (_, url), client_of(url) as client:
        assert client.get("/metrics").status_code == 404


def test_two_applications_count_apart():
    one, other = create_app(Settings(), FakeBackend()), create_app(Settings(), FakeBackend())
    one.state.metrics.requests("GET", "/", "200").inc()
    assert scrape(other.state.metrics).of("holofoil_http_requests_total") == 0


def test_a_port_of_its_own_answers_only_with_metrics_and_is_freed():
    metrics = Metrics()
    with contextlib.closing(metrics.serve("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.port}/metrics"
        numbers = Numbers(httpx.get(url, trust_env=False).text)
        assert numbers.of("process_resident_memory_bytes") > 1e6
        with pytest.raises(OSError, match="in use"):
            metrics.serve("127.0.0.1", server.port)
    metrics.serve("127.0.0.1", server.port).close()


def test_the_default_deadline_is_an_end_of_a_bucket():
    assert Settings().deadline in SECONDS
    assert all(1.9 < above / below <= 3 for below, above in pairwise(SECONDS))
