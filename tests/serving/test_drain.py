"""The end of the process: readiness says it first, and no request is lost."""

import concurrent.futures
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import httpx
import pytest

from serving.app import create_app
from serving.server import Server, configure
from serving.settings import Settings
from tests.fakes.backend import FakeBackend
from tests.fakes.live import live_app
from tests.serving.asking import client_of, is_problem

# A balancer looks every so often, and sends nobody any more once it was told.
LOOKS_EVERY = 0.1


@contextlib.contextmanager
def gateway(model_seconds: float, drain_delay: float) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Start a gateway with slow models on a free port and yield its process and its address."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("HOLOFOIL_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.fakes.gateway", str(model_seconds)],
        env={**inherited, "HOLOFOIL_PORT": "0", "HOLOFOIL_DRAIN_DELAY": str(drain_delay)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout
        yield process, process.stdout.readline().removeprefix("Holofoil: ").strip()
    finally:
        process.kill()
        process.communicate()


def balance(url: str, stop: threading.Event) -> None:
    """Look whether the gateway is ready until it is not."""
    with client_of(url) as client:
        while client.get("/readyz").status_code == 200:
            time.sleep(LOOKS_EVERY)
    stop.set()


def ask(url: str) -> httpx.Response:
    """Ask for a card on a new connection."""
    return httpx.post(f"{url}/generate", trust_env=False, timeout=30)


def keep_asking(url: str, stop: threading.Event, *, keep_alive: bool) -> list[int]:
    """Ask for one card after another, each on a new connection unless kept, until the balancer says stop."""
    statuses: list[int] = []
    with client_of(url) as client:
        while not stop.is_set():
            answer = client.post("/generate") if keep_alive else ask(url)
            statuses.append(answer.status_code)
    return statuses


def test_no_request_is_lost_when_the_process_is_asked_to_end_under_load():
    with gateway(0.02, 2.0) as (process, url), concurrent.futures.ThreadPoolExecutor(9) as threads:
        stop = threading.Event()
        clients = [threads.submit(keep_asking, url, stop, keep_alive=bool(kept % 2)) for kept in range(8)]
        looking = threads.submit(balance, url, stop)
        time.sleep(1)
        process.send_signal(signal.SIGTERM)
        statuses = [status for client in clients for status in client.result(timeout=60)]
        looking.result()
        assert set(statuses) == {200}
        assert len(statuses) > 20
        assert process.wait(timeout=30) == 0


def test_before_the_end_readiness_says_so_and_connections_are_not_kept():
    with gateway(0.0, 30.0) as (process, url), client_of(url) as client:
        assert client.get("/readyz").status_code == 200
        assert "connection" not in client.post("/generate").headers
        process.send_signal(signal.SIGTERM)
        until = time.monotonic() + 10
        while client.get("/readyz").status_code == 200 and time.monotonic() < until:
            time.sleep(0.02)
        is_problem(client.get("/readyz"), 503, "draining")
        assert client.get("/healthz").status_code == 200
        served = client.post("/generate")
        assert (served.status_code, served.headers["connection"]) == (200, "close")
        process.send_signal(signal.SIGTERM)  # asked again, it does not wait
        assert process.wait(timeout=20) == -signal.SIGTERM


class BrokenBackend(FakeBackend):
    """Fails as only a mistake in code does."""

    async def generate(self, noise, labels=None, *, deadline=None):
        raise RuntimeError("broken")


def test_whoever_answers_near_the_end_closes_the_connection():
    with (
        live_app(BrokenBackend(), Settings(origins="https://site.example", max_body=100)) as (app, url),
        client_of(url) as client,
    ):
        app.state.life.draining = True
        preflight = {"Origin": "https://site.example", "Access-Control-Request-Method": "POST"}
        answers = [
            client.options("/generate", headers=preflight),
            client.options("/generate", headers={**preflight, "Origin": "https://other.example"}),
            client.post("/score", content=bytes(101)),
            client.post("/generate"),
            client.get("/nothing"),
        ]
    assert [answer.status_code for answer in answers] == [200, 403, 413, 500, 404]
    assert {answer.headers["connection"] for answer in answers} == {"close"}


def test_what_is_under_way_when_listening_ends_is_answered():
    with gateway(1.0, 0.2) as (process, url), concurrent.futures.ThreadPoolExecutor(20) as threads:
        under_way = [threads.submit(ask, url) for _ in range(20)]  # two calls, one after the other
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        answers = [request.result().status_code for request in under_way]
        assert answers == [200] * 20
        with pytest.raises(httpx.ConnectError):
            ask(url)
        assert process.wait(timeout=30) == 0


def test_a_process_that_cannot_go_on_ends_without_being_asked():
    app = create_app(Settings(), FakeBackend())
    settings = Settings()
    listener = socket.create_server(("127.0.0.1", 0))
    server = Server(configure(app, settings), app.state.life, settings.drain_delay)
    of_this_process = sys.getswitchinterval()
    serving = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    serving.start()
    while not server.started:
        time.sleep(0.01)
    app.state.life.fail()
    serving.join(timeout=10)
    sys.setswitchinterval(of_this_process)
    assert not serving.is_alive()
