"""The log as an operator reads it: one form for all loggers, one line a request, nothing that was sent."""

import asyncio
import contextlib
import io
import json
import logging
import re
import time
import warnings
from collections.abc import Iterator

import httpx
import pytest

from serving import logs
from serving.backend import Unavailable
from serving.exchange import Exchange
from serving.logs import AccessLog
from serving.timings import Timings
from tests.fakes import pictures
from tests.fakes.backend import FakeBackend
from tests.fakes.live import live

CARD = pictures.file(pictures.plain(70, 50))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    """Give the process its loggers back: configure replaces the root's handlers, as a program wants it."""
    root, package = logging.getLogger(), logging.getLogger(logs.PACKAGE)
    handlers, levels = root.handlers[:], (root.level, package.level)
    yield
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    package.setLevel(levels[1])
    logging.captureWarnings(False)


def lines(stream: io.StringIO) -> list[dict]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@contextlib.contextmanager
def logged(level: logs.Level = "info") -> Iterator[io.StringIO]:
    stream = io.StringIO()
    logs.configure(level, "json", stream)
    yield stream


def requests_in(stream: io.StringIO, count: int) -> list[dict]:
    """Wait for as many requests' lines: an answer is with its client a moment before."""
    patience = time.monotonic() + 10
    while len(found := [line for line in lines(stream) if line["event"] == "request"]) < count:
        assert time.monotonic() < patience
        time.sleep(0.005)
    return found


def test_a_request_is_one_line_of_json():
    stream = io.StringIO()
    with live(FakeBackend()) as url, httpx.Client(base_url=url, trust_env=False) as client:
        logs.configure("info", "json", stream)
        answer = client.post("/generate", json={"n": 2}, headers={"X-Request-ID": "mine-1"})
        (line,) = requests_in(stream, 1)
    assert line.pop("time").endswith("Z")
    stages = [line.pop(f"{stage}_ms") for stage in ("queue", "infer", "encode")]
    assert 0 < sum(stages) < line.pop("ms")
    assert line == {
        "event": "request",
        "level": "info",
        "logger": "serving.access",
        "request_id": "mine-1",
        "method": "POST",
        "route": "/generate",
        "status": 200,
        "bytes_in": len(b'{"n":2}'),
        "bytes_out": len(answer.content),
        "client": "127.0.0.1",
        "cards": 2,
    }


def test_a_request_that_was_refused_is_told_by_the_name_of_its_problem():
    stream, backend = io.StringIO(), FakeBackend()
    with live(backend) as url, httpx.Client(base_url=url, trust_env=False) as client:
        logs.configure("info", "json", stream)
        client.post("/generate", json={"n": 0})
        backend.failure = Unavailable("The model server cannot be reached.")
        client.post("/generate")
        backend.failure = None
        client.post("/generate")
        found = requests_in(stream, 3)
    assert [(line["status"], line.get("problem")) for line in found] == [
        (422, "validation"),
        (503, "backend-unavailable"),
        (200, None),
    ]


def test_every_line_of_a_request_carries_its_id_and_nothing_that_was_sent():
    stream, backend = io.StringIO(), FakeBackend()
    with live(backend) as url, httpx.Client(base_url=url, trust_env=False) as client:
        logs.configure("debug", "json", stream)
        backend.failure = Unavailable("The model server cannot be reached.")
        client.post(
            "/score",
            files=[("files", ("SECRET-name.png", CARD))],
            headers={
                "X-Request-ID": "r-1",
                "Authorization": "Bearer SECRET-key",
                "User-Agent": "SECRET-agent",
            },
        )
        client.post("/generate", json={"label": "SECRET-body"})
        client.post("/generate?token=SECRET-query")
        client.get("/SECRET-path")
        requests_in(stream, 4)
    told = lines(stream)
    assert {line["request_id"] for line in told if "cannot be reached" in line["event"]} >= {"r-1"}
    assert all("request_id" in line for line in told if line["logger"].startswith("serving"))
    assert "SECRET" not in stream.getvalue()


def test_health_checks_are_logged_at_debug_alone():
    with live(FakeBackend()) as url, httpx.Client(base_url=url, trust_env=False) as client:
        with logged() as stream:
            client.get("/healthz")
            client.get("/readyz")
            client.get("/openapi.json")
            assert [line["route"] for line in requests_in(stream, 1)] == ["/openapi.json"]
        with logged("debug") as stream:
            client.get("/healthz")
            assert [line["level"] for line in requests_in(stream, 1)] == ["debug"]


def test_a_level_above_info_has_no_line_for_a_request():
    with logged("warning") as stream:
        AccessLog().ended(Exchange("GET", "127.0.0.1"))
    assert stream.getvalue() == ""


def test_the_key_is_told_by_its_id_and_durations_in_milliseconds():
    with logged() as stream:
        AccessLog().ended(
            Exchange(
                "POST", "::1", "/score", 200, 0.25, key="shop", timings=Timings({"queue": 0.1}, cards=16)
            )
        )
    (line,) = lines(stream)
    assert (line["key"], line["ms"], line["queue_ms"], line["cards"]) == ("shop", 250, 100, 16)


@pytest.mark.parametrize("format", ["json", "text"])
def test_a_request_is_told_in_the_form_of_all_other_lines(format):
    exchange = Exchange("GET", "::1", "/models", 200, 0.25, timings=Timings({"queue": 0.1}, cards=16))
    out = io.StringIO()
    logs.configure("info", format, out)
    logs.bind_request_id("r-1")
    AccessLog().ended(exchange)
    logging.getLogger("serving.other").info("request", extra=logs.fields(exchange))
    one, other = (re.sub(r"\S+Z|serving\.\w+", "…", line) for line in out.getvalue().splitlines())
    assert one == other


def test_other_packages_come_in_the_same_form_and_from_warning_upwards():
    with logged("debug") as stream:
        logging.getLogger("uvicorn.error").warning("Hm %d", 1, extra={"color_message": "\x1b[36mHm"})
        logging.getLogger("PIL.PngImagePlugin").debug("STREAM of a client")
        logging.getLogger("grpc._cython.cygrpc").error("Gone")
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn("odd", stacklevel=1)
    assert [(line["logger"], line["level"]) for line in lines(stream)] == [
        ("uvicorn.error", "warning"),
        ("grpc._cython.cygrpc", "error"),
        ("py.warnings", "warning"),
    ]
    assert "color_message" not in stream.getvalue()


def test_a_traceback_is_one_line_without_the_values_of_variables():
    secret = "SEC" + "RET"
    with logged() as stream:
        try:
            raise OSError("disk full")
        except OSError:
            logging.getLogger("serving.app").exception("It failed\nbadly")
    (line,) = lines(stream)
    assert line["event"] == "It failed\nbadly"
    assert "OSError: disk full" in line["exception"]
    assert secret not in stream.getvalue()


@pytest.mark.parametrize(
    ("format", "stream", "is_json", "coloured"),
    [
        ("auto", io.StringIO, True, False),
        ("auto", Terminal, False, True),
        ("text", io.StringIO, False, False),
        ("json", Terminal, True, False),
    ],
)
def test_terminals_get_text_and_all_else_json_unless_told_otherwise(format, stream, is_json, coloured):
    out = stream()
    logs.configure("info", format, out)
    logging.getLogger("serving.app").info("ready")
    assert ("ready" in out.getvalue(), out.getvalue().startswith("{")) == (True, is_json)
    assert ("\x1b[" in out.getvalue()) == coloured


async def test_requests_side_by_side_keep_their_ids_apart():
    with logged() as stream:

        async def request(id: str) -> None:
            logs.bind_request_id(id)
            await asyncio.sleep(0)
            logging.getLogger("serving.app").info(id)

        await asyncio.gather(*(request(str(index)) for index in range(20)))
    assert all(line["event"] == line["request_id"] for line in lines(stream))
