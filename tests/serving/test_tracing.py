"""Traces by the SDK itself: spans in memory, over real HTTP to a collector, and in the metadata of an RPC."""

import contextlib
import http.server
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import httpx
import pytest
from fastapi import FastAPI
from opentelemetry import trace
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from serving import tracing
from serving.app import create_app
from serving.settings import Settings
from serving.tfserving import TFServingBackend
from serving.timings import Timings
from tests.fakes import pictures
from tests.fakes.backend import FakeBackend
from tests.fakes.live import serve

CARD = pictures.file(pictures.plain(70, 50))
TRACE = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = f"00-{TRACE}-b7ad6b7169203331-01"


class Memory:
    """A provider whose spans stay here."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))

    def spans(self) -> dict[str, ReadableSpan]:
        return {span.name: span for span in self.exporter.get_finished_spans()}


@contextlib.contextmanager
def client_of(app: FastAPI) -> Iterator[httpx.Client]:
    with serve(app, Settings()) as url, httpx.Client(base_url=url, trust_env=False, timeout=30) as client:
        yield client


def traced(memory: Memory, ask: Callable[[httpx.Client], object]) -> dict[str, ReadableSpan]:
    """Ask a gateway something and return its spans, complete since the gateway has ended."""
    with client_of(create_app(Settings(), FakeBackend(), memory.provider)) as client:
        ask(client)
    return memory.spans()


def began_and_ended(span: ReadableSpan) -> tuple[int, int]:
    assert span.start_time
    assert span.end_time
    return span.start_time, span.end_time


def test_a_request_is_a_span_of_the_clients_trace_with_its_stages_inside():
    spans = traced(
        Memory(),
        lambda client: client.post("/generate", headers={"traceparent": TRACEPARENT, "X-Request-ID": "mine"}),
    )
    request = spans["POST /generate"]
    assert request.context
    assert trace.format_trace_id(request.context.trace_id) == TRACE
    assert request.attributes
    assert request.attributes["holofoil.request_id"] == "mine"
    assert request.attributes["http.response.status_code"] == 200
    for stage in ("queue", "infer", "encode", "call"):
        assert spans[stage].parent == request.context
        assert began_and_ended(request)[0] <= began_and_ended(spans[stage])[0]
        assert began_and_ended(spans[stage])[1] <= began_and_ended(request)[1]
    assert spans["call"].attributes == {"holofoil.model": "generator", "holofoil.rows": 1}
    scored = traced(Memory(), lambda client: client.post("/score", files=[("files", ("a.png", CARD))]))
    assert scored["decode"].parent == scored["POST /score"].context


def test_nothing_that_was_sent_is_in_a_span():
    memory = Memory()

    def ask(client: httpx.Client) -> None:
        client.post("/generate?key=SECRET", headers={"Authorization": "SECRET"})
        client.post("/generate", json={"label": "SECRET"}, headers={"Authorization": "SECRET"})
        client.post("/score", files=[("files", ("SECRET.png", b"SECRET"))])

    spans = traced(memory, ask)
    assert {"POST /generate", "POST /score"} <= set(spans)
    assert "SECRET" not in "".join(span.to_json() for span in spans.values())


def test_health_checks_are_not_traced():
    spans = traced(Memory(), lambda client: [client.get("/healthz"), client.get("/readyz"), client.get("/")])
    assert list(spans) == ["GET /"]


def test_a_call_for_several_requests_belongs_to_the_first_and_links_to_the_others():
    memory = Memory()
    tracer = memory.provider.get_tracer("test")
    owners = [Timings(tracer=tracer, span=tracer.start_span(name)) for name in "abc"]
    with tracing.call_span([Timings(), *owners], "generator", 8):
        pass
    call = memory.spans()["call"]
    first, *others = [owner.span.get_span_context() for owner in owners if owner.span]
    assert call.parent == first
    assert [link.context for link in call.links] == others
    assert call.attributes == {"holofoil.model": "generator", "holofoil.rows": 8}


def test_where_no_request_is_traced_a_call_is_not_either():
    with tracing.call_span([Timings(), Timings()], "generator", 2):
        assert not trace.get_current_span().get_span_context().is_valid
        assert tracing.grpc_metadata() is None


class Recorder(grpc.GenericRpcHandler):
    """A model server that keeps the metadata of each call and answers none."""

    def __init__(self) -> None:
        self.metadata: list[dict[str, str]] = []

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> None:
        self.metadata.append({key: str(value) for key, value in handler_call_details.invocation_metadata})


@contextlib.contextmanager
def recording() -> Iterator[tuple[Recorder, str]]:
    recorder = Recorder()
    server = grpc.server(ThreadPoolExecutor(1), handlers=[recorder])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield recorder, f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


@pytest.mark.parametrize("on", [True, False])
def test_the_model_server_is_told_the_trace(on):
    memory = Memory()
    with recording() as (recorder, target):
        backend = TFServingBackend(target, 5)
        with client_of(create_app(Settings(), backend, memory.provider if on else None)) as client:
            client.post("/generate", headers={"traceparent": TRACEPARENT})
    told = [metadata["traceparent"] for metadata in recorder.metadata if "traceparent" in metadata]
    assert {parent.split("-")[1] for parent in told} == ({TRACE} if on else set())


class Collector(http.server.BaseHTTPRequestHandler):
    """Takes spans by OTLP over HTTP."""

    received: "queue.Queue[ExportTraceServiceRequest]"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        assert self.path == "/v1/traces"
        self.received.put(ExportTraceServiceRequest.FromString(body))
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def test_a_collector_that_is_named_is_sent_the_spans_when_the_gateway_ends_at_the_latest():
    class Mine(Collector):
        received = queue.Queue()

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Mine) as collector:
        thread = threading.Thread(target=collector.serve_forever)
        thread.start()
        try:
            ask_in_a_process({"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.server_port}"})
        finally:
            collector.shutdown()
            thread.join()
    sent = Mine.received.get(timeout=10).resource_spans[0]
    names = {span.name for scope in sent.scope_spans for span in scope.spans}
    assert {"GET /openapi.json"} <= names
    service = {pair.key: pair.value.string_value for pair in sent.resource.attributes}["service.name"]
    assert service == tracing.SERVICE


def ask_in_a_process(variables: dict[str, str]) -> None:
    """Run a gateway, ask it once and end it, with OpenTelemetry set up by its variables alone."""
    program = (
        "from starlette.testclient import TestClient\n"
        "from serving.app import create_app\n"
        "from serving.settings import Settings\n"
        "from tests.fakes.backend import FakeBackend\n"
        "with TestClient(create_app(Settings(), FakeBackend())) as client:\n"
        "    client.get('/openapi.json').raise_for_status()\n"
    )
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    subprocess.run([sys.executable, "-c", program], env={**inherited, **variables}, timeout=60, check=True)


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": ""},
        {tracing.COLLECTORS[0]: "http://c:4318", "OTEL_SDK_DISABLED": "true"},
    ],
)
def test_without_a_collector_there_is_no_provider(environment):
    assert tracing.provider_for(environment) is None
    assert not any(value for value in tracing.telemetry(None, ()).values())
