"""What keys and rates cost a request: the same request to several gateways in turn.

    python -m tests.benchmarks.guard_cost [REQUESTS]

The backend paints, so that nothing but the gateway is measured. One client in the gateway's process sends one
request at a time over loopback: the processor time is that of both. Gateways take turns; figures are medians.
"""

import contextlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx

from serving import keys
from serving.settings import Settings
from tests.fakes.backend import FakeBackend
from tests.fakes.live import live

BLOCKS = 20
REDIS_PORT = 16379


def block(client: httpx.Client, headers: dict[str, str], requests: int) -> tuple[float, float]:
    """Return milliseconds of a request, of processor time and by the clock."""
    start = time.process_time(), time.perf_counter()
    for _ in range(requests):
        client.post("/generate", headers={"Accept": "image/jpeg", **headers}).raise_for_status()
    end = time.process_time(), time.perf_counter()
    return 1000 * (end[0] - start[0]) / requests, 1000 * (end[1] - start[1]) / requests


def main() -> None:
    requests = int(sys.argv[1]) if sys.argv[1:] else 50
    secret, stored = keys.make("bench", ["generate"])
    others = "\n".join(str(keys.make(f"other{i}", ["generate"])[1]) for i in range(99))
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        few, many = Path(folder, "few"), Path(folder, "many")
        few.write_text(str(stored))
        many.write_text(f"{stored}\n{others}")
        plain: dict[str, dict[str, object]] = {
            "open": {},
            "1 key": {"keys_file": few},
            "100 keys": {"keys_file": many},
            "rate of an address": {"rate_address": "999999999/day"},
            "100 keys and rate": {"keys_file": many, "rate_key": "999999999/day"},
        }
        if shutil.which("redis-server"):
            server = subprocess.Popen(
                ["redis-server", "--port", str(REDIS_PORT), "--save", ""], stdout=subprocess.DEVNULL
            )
            stack.callback(server.terminate)
            time.sleep(1)
            plain["100 keys and rate in Redis"] = {
                **plain["100 keys and rate"],
                "rate_store": f"redis://127.0.0.1:{REDIS_PORT}/0",
            }
        clients = {
            name: stack.enter_context(
                httpx.Client(
                    base_url=stack.enter_context(live(FakeBackend(), Settings.model_validate(settings))),
                    trust_env=False,
                )
            )
            for name, settings in plain.items()
        }
        header = {"Authorization": f"Bearer {secret}"}
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in clients}
        for _ in range(BLOCKS):
            for name, client in clients.items():
                times[name].append(block(client, header, requests))
    middles = {
        name: [statistics.median(each) for each in zip(*rows, strict=True)] for name, rows in times.items()
    }
    base = middles["open"]
    print(f"{'gateway':28} {'CPU ms':>7} {'ratio':>6} {'ms':>7} {'ratio':>6}")
    for name, (cpu, wall) in middles.items():
        print(f"{name:28} {cpu:7.3f} {cpu / base[0]:6.3f} {wall:7.3f} {wall / base[1]:6.3f}")


if __name__ == "__main__":
    main()
