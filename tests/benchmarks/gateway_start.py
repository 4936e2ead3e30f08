"""How long a gateway in front of TF Serving takes to start, and how much memory it holds.

    python -m tests.benchmarks.gateway_start [PYTHON] [--runs N]

PYTHON is an interpreter with the gateway's core dependencies alone; without it, one is made for now.
The stand-in for TF Serving runs in this process, the gateway in its own.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import psutil

from tests.fakes.tfserving import serve_models

ROOT = Path(__file__).parents[2]
READY_SECONDS, MEGABYTES = 2.0, 120.0


def main() -> int:
    """Print the table; return 1 when a target is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("python", nargs="?", help="an interpreter with the core dependencies")
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        python = arguments.python or core_environment(Path(folder))
        return measure(python, arguments.runs)


def core_environment(folder: Path) -> str:
    """Install the gateway without extras, and return its interpreter."""
    print("Installing the gateway's core dependencies (once)")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = str(folder / "bin" / "python")
    install = [python, "-m", "pip", "--disable-pip-version-check", "--quiet", "install", "--constraint"]
    subprocess.run([*install, ROOT / "constraints.txt", ROOT], check=True)
    return python


def measure(python: str, runs: int) -> int:
    """Start the gateway again and again against one stand-in, and print what it took."""
    found = subprocess.run(
        [python, "-c", "import importlib.util as u; print(u.find_spec('tensorflow') is None)"],
        capture_output=True,
        text=True,
        check=True,
    )
    if found.stdout.strip() != "True":
        print(f"{python} has tensorflow, which the gateway's own environment has not")
    with serve_models(ROOT / "tests" / "golden" / "models") as stand_in:
        # The first run also writes byte code and fills the disk's cache.
        started = [start(python, stand_in.target) for _ in range(runs + 1)]
    print(f"{'run':>6} {'ready s':>9} {'CPU s':>9} {'RSS MB':>9}")
    for number, (seconds, cpu, memory) in enumerate(started):
        print(f"{number or 'first':>6} {seconds:9.2f} {cpu:9.2f} {memory:9.1f}")
    seconds, cpu, memory = (statistics.median(column) for column in zip(*started[1:], strict=True))
    print(f"{'median':>6} {seconds:9.2f} {cpu:9.2f} {memory:9.1f}")
    print(f"{'target':>6} {READY_SECONDS:9.2f} {'':>9} {MEGABYTES:9.1f}")
    return int(seconds > READY_SECONDS or memory > MEGABYTES)


def start(python: str, target: str) -> tuple[float, float, float]:
    """Return seconds from exec to /readyz, CPU seconds by then, and megabytes held after one card."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HOLOFOIL_")}
    environment |= {"HOLOFOIL_TFSERVING": target, "HOLOFOIL_PORT": "0"}
    began = time.monotonic()
    with subprocess.Popen(
        [python, "-m", "serving"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as gateway:
        try:
            assert gateway.stdout
            address = gateway.stdout.readline().split()[-1]
            until_ready(address)
            seconds = time.monotonic() - began
            process = psutil.Process(gateway.pid)
            times = process.cpu_times()
            body = json.dumps({"n": 1, "seed": 1}).encode()
            request = urllib.request.Request(
                f"{address}/generate", body, {"Content-Type": "application/json"}, method="POST"
            )
            with urllib.request.urlopen(request) as answer:
                assert answer.status == 200
            return seconds, times.user + times.system, process.memory_info().rss / 1e6
        finally:
            gateway.terminate()


def until_ready(address: str) -> None:
    """Ask until /readyz says 200."""
    while True:
        try:
            with urllib.request.urlopen(f"{address}/readyz"):
                return
        except urllib.error.HTTPError:
            time.sleep(0.02)


if __name__ == "__main__":
    sys.exit(main())
