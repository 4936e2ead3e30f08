"""The model server and the gateway as processes that can be hurt."""

import asyncio
import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.serving import processes


class ModelServer:
    """The stand-in for TF Serving, in a process that can be hurt and told to misbehave."""

    def __init__(self, store: Path) -> None:
        self.store = store
        self.port = processes.free_port()
        self.process: subprocess.Popen[str] | None = None

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> subprocess.Popen[str]:
        """Start it; it is not waited for."""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.fakes.model_server", self.store, str(self.port)],
            cwd=processes.ROOT,
            env=processes.environment({}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        return self.process

    async def ready(self) -> None:
        """Wait until it listens."""
        assert self.process
        assert self.process.stdout
        line = await asyncio.to_thread(self.process.stdout.readline)
        if line.strip() != self.target:
            raise RuntimeError(f"the model server ended: {line!r}")

    async def order(self, words: str) -> None:
        """Tell it how to behave."""
        assert self.process
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(f"{words}\n")
        self.process.stdin.flush()
        await asyncio.to_thread(self.process.stdout.readline)

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        assert self.process
        self.process.send_signal(number)

    def kill(self) -> None:
        """End it without a word."""
        if self.process:
            self.process.kill()
            self.process.communicate()


@contextlib.contextmanager
def gateway(limits: str = "", **settings: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run the gateway on a free port; yield its process and address. `limits` is Python to run before it."""
    program = f"{limits}\nimport sys\nfrom serving.__main__ import main\nsys.exit(main([]))"
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=processes.ROOT,
        env=processes.environment({"HOLOFOIL_PORT": "0", **settings}),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout
        yield process, process.stdout.readline().split()[-1]
    finally:
        process.kill()
        process.communicate()
