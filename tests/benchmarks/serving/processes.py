"""Servers as processes of their own, and what a tree of them costs."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

import psutil

ROOT = Path(__file__).parents[3]


class CannotStart(Exception):
    """A server ended, or took too long, before it answered."""


@dataclass(frozen=True)
class Cost:
    """What a tree of processes has used."""

    cpu: float  # seconds, since it was started
    memory: float  # megabytes now; what processes share is counted once

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.cpu + other.cpu, self.memory + other.memory)


@contextlib.contextmanager
def running(command: Sequence[str | Path], settings: Mapping[str, str]) -> Iterator[psutil.Popen]:
    """Run a server in a session of its own, and end all of it; what it said is shown if it fails."""
    with TemporaryFile("w+") as said:
        process = psutil.Popen(
            [str(part) for part in command],
            cwd=ROOT,
            env=environment(settings),
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield process
        except BaseException:
            said.seek(0)
            print(said.read()[-3000:])
            raise
        finally:
            end(process)


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Return what a server is to find set: as here, without this shell's settings of the gateway."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("HOLOFOIL_")}
    return {**inherited, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(ROOT), **settings}


def end(process: psutil.Popen) -> None:
    """End a server and every process that it started."""
    tree = family(process)
    with contextlib.suppress(psutil.NoSuchProcess):
        process.terminate()
    _, left = psutil.wait_procs(tree, timeout=15)
    for one in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            one.kill()
    with contextlib.suppress(psutil.TimeoutExpired, ProcessLookupError):
        process.wait(timeout=5)
        os.killpg(process.pid, signal.SIGKILL)  # whoever was started between the look and the end


def family(process: psutil.Process) -> list[psutil.Process]:
    """Return a process and all that came of it."""
    try:
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def cost(*roots: psutil.Process) -> Cost:
    """Return what the trees of these processes have used."""
    total = Cost(0.0, 0.0)
    for process in {one.pid: one for root in roots for one in family(root)}.values():
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            spent = times.user + times.system + times.children_user + times.children_system
            total += Cost(spent, process.memory_full_info().pss / 1e6)
    return total


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


async def until_open(port: int, process: psutil.Popen, seconds: float = 180.0) -> None:
    """Wait until somebody accepts connections there. Raises CannotStart."""
    until = time.monotonic() + seconds
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            if process.poll() is not None or time.monotonic() > until:
                raise CannotStart(f"does not listen; exit code {process.poll()}") from None
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return
