"""Commands run in the project's top folder, and what is said of how they went."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[2]
STARTED = time.monotonic()


def until(holds: Callable[[], bool], what: str, seconds: float = 120) -> None:
    """Wait for something to become true."""
    end = time.monotonic() + seconds
    while not holds():
        check(time.monotonic() < end, f"within {seconds:g} s: {what}", quiet=True)
        time.sleep(0.5)
    say(what)


def check(holds: bool, what: str, *, quiet: bool = False) -> None:
    """Say that something holds, or end the test."""
    if not holds:
        raise SystemExit(f"FAILED: {what}")
    if not quiet:
        say(what)


def say(what: str) -> None:
    """Print a line with the time since the start."""
    sys.stdout.write(f"[{time.monotonic() - STARTED:4.0f} s] {what}\n")
    sys.stdout.flush()


def run(*command: str | Path, capture: bool = True) -> str:
    """Run a command in the project's top folder and return what it printed; end the test if it fails."""
    done = subprocess.run(
        command,
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE if capture else None,
        stderr=subprocess.STDOUT if capture else None,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"FAILED: {' '.join(map(str, command))}\n{(done.stdout or '')[-4000:]}")
    return (done.stdout or "").strip()


def succeeds(*command: str) -> bool:
    """Run a command for its exit status."""
    return subprocess.run(command, cwd=ROOT, capture_output=True, check=False).returncode == 0


def docker(*arguments: str) -> str:
    """Run docker."""
    return run("docker", *arguments)


def compose(*arguments: str, capture: bool = True) -> str:
    """Run docker compose on the files of COMPOSE_FILE."""
    # The wheel's compose has no buildx beside it; the daemon then builds by itself.
    return run("docker", "compose", *arguments, capture=capture)
