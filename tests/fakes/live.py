"""A gateway on a real socket, for as long as a test needs it."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import uvicorn

from serving.__main__ import configure
from serving.app import create_app
from serving.backend import Backend
from serving.settings import Settings


@contextlib.contextmanager
def live(backend: Backend, settings: Settings | None = None) -> Iterator[str]:
    """Serve a backend over HTTP on a free port and yield the address."""
    listener = socket.create_server(("127.0.0.1", 0))
    chosen = settings or Settings()
    server = uvicorn.Server(configure(create_app(chosen, backend), chosen))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        while not server.started and thread.is_alive():
            time.sleep(0.01)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
