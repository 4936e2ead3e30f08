"""How the gateway's log looks, and its one line for each request."""

import json
import logging
import time
from collections.abc import Sequence
from typing import Any, Literal, TextIO

import structlog
from opentelemetry import trace
from structlog.stdlib import ProcessorFormatter
from structlog.typing import EventDict, Processor

from serving.exchange import Exchange

Level = Literal["debug", "info", "warning", "error"]
Format = Literal["auto", "json", "text"]

PACKAGE = "serving"

QUIET = 10.0
"""Seconds between two lines of a kind that could come with every request."""

PROBES = ("/healthz", "/readyz", "/metrics")
"""Asked every few seconds by machines: they would drown everything else."""

access = logging.getLogger("serving.access")

encode = json.JSONEncoder(default=repr).encode


def configure(level: Level, format: Format, stream: TextIO) -> None:
    """Have every logger of the process write to stream, in one format: a JSON object a line, or text.

    Other packages log from warning upwards: at debug, some of them write what clients sent.
    """
    text = format == "text" or (format == "auto" and stream.isatty())
    rendering = as_text(stream) if text else as_json()
    head = [
        structlog.processors.TimeStamper("iso", utc=True, key="time"),
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.contextvars.merge_contextvars,
        trace_id,
    ]
    formatter = ProcessorFormatter(
        foreign_pre_chain=[*head, structlog.stdlib.ExtraAdder(), uncoloured],
        processors=[ProcessorFormatter.remove_processors_meta, *rendering],
    )
    threshold = logging.getLevelNamesMapping()[level.upper()]
    everything = writing(stream, formatter)
    logging.basicConfig(level=max(threshold, logging.WARNING), handlers=[everything], force=True)
    logging.getLogger(PACKAGE).setLevel(threshold)
    access.handlers[:] = [writing(stream, RequestFormatter(head, rendering))]
    access.propagate = False
    logging.captureWarnings(True)


def writing(stream: TextIO, formatter: logging.Formatter) -> logging.Handler:
    """Return a handler that writes to a stream."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    return handler


def as_json() -> list[Processor]:
    """One JSON object a line. A traceback is text in it, without the values of variables."""
    return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(serializer=serialize)]


def serialize(event: EventDict, **_: object) -> str:
    """Write JSON as structlog does, without the new encoder that json.dumps makes for every line."""
    return encode(event)


def as_text(stream: TextIO) -> list[Processor]:
    """Lines for people, coloured on a terminal."""
    return [
        structlog.dev.ConsoleRenderer(
            colors=stream.isatty(),
            sort_keys=False,
            timestamp_key="time",
            exception_formatter=structlog.dev.plain_traceback,
        )
    ]


def uncoloured(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Drop the second copy of a line that uvicorn adds for its own formatter."""
    event.pop("color_message", None)
    return event


def trace_id(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Name the trace that a line was logged in, where requests are traced."""
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        event["trace_id"] = trace.format_trace_id(context.trace_id)
    return event


def bind_request_id(request_id: str) -> None:
    """Have every line that is logged for the current request carry its id."""
    structlog.contextvars.clear_contextvars()  # a pipelined request starts in the context of the last one
    structlog.contextvars.bind_contextvars(request_id=request_id)


class Throttle:
    """Limits a line of the log that could come with every request to one in QUIET seconds."""

    def __init__(self) -> None:
        self._silent_until = 0.0

    def due(self) -> bool:
        """Whether to write the line now; if so, the caller is expected to."""
        now = time.monotonic()
        if now < self._silent_until:
            return False
        self._silent_until = now + QUIET
        return True


class AccessLog:
    """Logs one line for each request: no bodies, no queries, no keys."""

    def began(self) -> None:
        """Log nothing yet."""

    def ended(self, exchange: Exchange) -> None:
        """Log the line, at debug for probes.

        The record is made here because Logger.log would look up which line of which file called it.
        """
        level = logging.DEBUG if exchange.route in PROBES else logging.INFO
        if access.isEnabledFor(level):
            told = (fields(exchange),)
            access.handle(logging.LogRecord(access.name, level, __file__, 0, "request", told, None))


class RequestFormatter(logging.Formatter):
    """Writes the lines of requests as ProcessorFormatter writes all others, in a quarter of the time.

    ProcessorFormatter copies every record, and searches its attributes for those that are not logging's own.
    """

    def __init__(self, head: Sequence[Processor], rendering: Sequence[Processor]) -> None:
        """Take the processors for what precedes a request's own fields, and those that make a line of it."""
        super().__init__()
        self.head = head
        self.rendering = rendering

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        event: Any = {"event": record.msg}
        level = record.levelname.lower()
        for process in self.head:
            event = process(access, level, event)
        event |= record.args
        for process in self.rendering:
            event = process(access, level, event)
        return event


def fields(exchange: Exchange) -> dict[str, Any]:
    """Return what a line says of a request besides time, id and level; durations are in milliseconds."""
    told: dict[str, Any] = {
        "method": exchange.method,
        "route": exchange.route,
        "status": exchange.status,
        "ms": milliseconds(exchange.seconds),
        "bytes_in": exchange.received,
        "bytes_out": exchange.sent,
        "client": exchange.client,
    }
    if exchange.timings.problem:
        told["problem"] = exchange.timings.problem
    if exchange.key is not None:
        told["key"] = exchange.key
    if exchange.timings.cards:
        told["cards"] = exchange.timings.cards
    for stage, seconds in exchange.timings.seconds.items():
        told[f"{stage}_ms"] = milliseconds(seconds)
    return told


def milliseconds(seconds: float) -> float:
    """Return milliseconds to a hundredth."""
    return round(1000 * seconds, 2)
