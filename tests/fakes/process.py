"""A gateway in a process of its own, in front of a backend without models, to watch its memory."""

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass

import psutil

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
    chosen = {"port": 0, "drain_delay": 0, **settings}
    environment = {f"HOLOFOIL_{name.upper()}": str(value) for name, value in chosen.items()}
    command = [sys.executable, "-m", "tests.fakes.gateway", "0"]
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
