"""Traces of requests by OpenTelemetry, if the operator names a collector; otherwise they cost nothing."""

import logging
from collections.abc import Container, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from fastapi.telemetry import TelemetryConfig
from opentelemetry import propagate, trace
from opentelemetry.trace import Link, Tracer
from starlette.types import Scope

from serving.timings import Timings

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

COLLECTORS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
TIMEOUT = "OTEL_EXPORTER_OTLP_TIMEOUT"
NAME = "OTEL_SERVICE_NAME"
SERVICE = "holofoil-gateway"

SEND_SECONDS = 3.0
"""Time limit for sending spans, for the last of which shutdown waits. OpenTelemetry's default is 10."""

QUERY = "url.query"
REDACTED = "REDACTED"

logger = logging.getLogger(__name__)


def provider_for(environment: Mapping[str, str]) -> "TracerProvider | None":
    """Return what makes and exports spans, by OpenTelemetry's variables; None if they name no collector.

    https://opentelemetry.io/docs/specs/otel/protocol/exporter/ lists the variables.
    """
    named = any(environment.get(name) for name in COLLECTORS)
    if not named or environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        logger.warning("A collector is named but nothing can be sent: pip install 'holofoil[tracing]'")
        return None
    resource = Resource.create({} if environment.get(NAME) else {SERVICE_NAME: SERVICE})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    timeout = None if environment.get(TIMEOUT) else SEND_SECONDS
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(timeout=timeout)))
    return provider


def telemetry(provider: "TracerProvider | None", untraced: Container[str]) -> TelemetryConfig:
    """Return how FastAPI traces all but some paths. Its default would also record what clients send."""
    off: TelemetryConfig = {
        "tracing": False,
        "metrics": False,
        "logs": False,
        "operation_spans": False,
        "auto_configure": False,
    }
    if provider is None:
        return off

    def exclude(scope: Scope) -> bool:
        return scope["path"] in untraced

    return {**off, "tracing": True, "tracer_provider": provider, "exclude": exclude}


def trace_stages(tracer: Tracer | None, timings: Timings, query: bytes) -> None:
    """Draw the stages of a request under the current span, if it is traced."""
    span = trace.get_current_span() if tracer else None
    if span is None or not span.is_recording():
        return
    if query:
        span.set_attribute(QUERY, REDACTED)  # a client may have put a key there
    timings.tracer, timings.span = tracer, span


def call_span(owners: Iterable[Timings], model: str, rows: int) -> AbstractContextManager[object]:
    """Draw a model call as a span under the first of its traced requests, with links to the others."""
    traced = [owner for owner in owners if owner.tracer and owner.span]
    if not traced:
        return nullcontext()
    first, *others = traced
    assert first.tracer
    assert first.span
    return first.tracer.start_as_current_span(
        "call",
        context=trace.set_span_in_context(first.span),
        links=[Link(other.span.get_span_context()) for other in others if other.span],
        attributes={"holofoil.model": model, "holofoil.rows": rows},
        record_exception=False,  # its text was not written for whoever reads traces
        set_status_on_exception=False,
    )


def grpc_metadata() -> tuple[tuple[str, str], ...] | None:
    """Return the current span as gRPC metadata (traceparent, W3C Trace Context), None if there is none."""
    if not trace.get_current_span().get_span_context().is_valid:
        return None
    headers: dict[str, str] = {}
    propagate.inject(headers)
    return tuple(headers.items())
