"""A gateway in a process of its own, in front of a backend without models, to watch its memory."""

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import psutil
import uvicorn

from serving.__main__ import Server
from serving.app import create_app
from serving.settings import Settings
from tests.fakes.backend import FakeBackend

MIB = 2**20


@dataclass(frozen=True)
class Gateway:
    """A running gateway."""

    url: str
    process: psutil.Process

    @property
    def memory(self) -> float:
        """Resident memory, in MiB."""
        return self.process.memory_info().rss / MIB


@contextlib.contextmanager
def running(**settings: object) -> Iterator[Gateway]:
    """Start a gateway with these settings on a free port, and end it by SIGTERM."""
    environment = {f"HOLOFOIL_{name.upper()}": str(value) for name, value in settings.items()}
    command = [sys.executable, "-m", "tests.fakes.process"]
    # A pipe that nobody reads would hold up a gateway that says much.
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(
            command, env=os.environ | environment, stdout=subprocess.PIPE, stderr=errors, text=True
        ) as process,
    ):
        assert process.stdout
        try:
            _, _, url = process.stdout.readline().strip().partition(" ")
            yield Gateway(url, psutil.Process(process.pid))
        finally:
            process.terminate()
            process.wait()
        errors.seek(0)
        said = errors.read()
    assert process.returncode in (0, -15), said
    assert "Traceback" not in said, said


def main() -> None:
    """Serve until SIGTERM."""
    warnings.filterwarnings("ignore", module="PIL")  # as the gateway's own main does
    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    app = create_app(Settings(), FakeBackend())
    Server(uvicorn.Config(app, log_config=None, access_log=False, ws="none")).run(sockets=[listener])


if __name__ == "__main__":
    main()
