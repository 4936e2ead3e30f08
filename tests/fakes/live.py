"""A gateway on a real socket, for as long as a test needs it."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp

from serving.app import create_app
from serving.backend import Backend
from serving.metrics import Metrics
from serving.server import configure
from serving.settings import Settings
from serving.shedding import LoadShedder


@contextlib.contextmanager
def live(backend: Backend, settings: Settings | None = None) -> Iterator[str]:
    """Serve a backend over HTTP on a free port and yield the address."""
    with live_app(backend, settings) as (_, url):
        yield url


@contextlib.contextmanager
def live_app(backend: Backend, settings: Settings | None = None) -> Iterator[tuple[FastAPI, str]]:
    """Serve a backend as live does, and yield the application too."""
    chosen = settings or Settings()
    app = create_app(chosen, backend)
    with serve(app, chosen, app.state.shedder, app.state.metrics) as url:
        yield app, url


@contextlib.contextmanager
def serve(
    app: ASGIApp,
    settings: Settings,
    shedder: LoadShedder | None = None,
    metrics: Metrics | None = None,
) -> Iterator[str]:
    """Serve an application over HTTP on a free port, as the gateway's own process does; yield the address."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(configure(app, settings, shedder, metrics))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        while not server.started and thread.is_alive():
            time.sleep(0.01)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
