"""Runs docker/compose.yaml for real, from an empty model store to two gateways of which one is restarted.

    python -m tests.deploy.up [--scratch FOLDER]

Without a docker daemon, root with Debian's docker.io and iptables gets one for the time of the test; without
a registry, debootstrap makes the base image, and stand-ins take the place of TF Serving and Redis: it says so
then. Such a daemon is stopped at the end and its data removed, but dockerd leaves its bridge and its iptables
rules.
"""

import argparse
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from tests.deploy.commands import ROOT, check, compose, docker, say, until
from tests.deploy.engine import REDIS, base_image, engine, need_compose, redis_image, tfserving_image

PROJECT = "holofoil-deploy-test"
GATEWAY = "holofoil-gateway:local"
INSIDE = Path(__file__).parent / "inside"
COMPOSE_FILE = "docker/compose.yaml"
YAML = re.findall(r"```yaml\n(.*?)```", (ROOT / "docker/README.md").read_text(), re.DOTALL)
"""What docker/README.md says to write into a file of one's own."""
GRACE = 25.0
"""Seconds within which a gateway ends: 5 of HOLOFOIL_DRAIN_DELAY, and 20 at most for requests under way."""


def main() -> None:
    """Build, run, ask, stop; exit 1 at the first thing that is not as promised."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scratch", type=Path, default=Path("/var/tmp/holofoil-deploy-test"))
    scratch: Path = parser.parse_args().scratch.resolve()
    scratch.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # else nothing would be cleaned up
    with engine(scratch):
        need_compose(scratch)
        port, another = free_ports()
        os.environ |= {
            "COMPOSE_FILE": COMPOSE_FILE,
            "COMPOSE_PROJECT_NAME": PROJECT,
            "HOLOFOIL_BASE_IMAGE": base_image(scratch),
            "HOLOFOIL_PORT": str(port),
            "HOLOFOIL_STORE": "store",
        }
        compose("--profile", "training", "build", "--quiet")
        os.environ["HOLOFOIL_TFSERVING_IMAGE"] = tfserving_image()
        for image in (GATEWAY, "holofoil-training:local"):
            size = int(docker("image", "inspect", "--format", "{{.Size}}", image))
            say(f"{image}: {size / 1e6:.0f} MB")
        try:
            with client_of(port) as client:
                walk(client)
            with client_of(port) as client, client_of(another) as second:
                os.environ["HOLOFOIL_PORT"] = f"{port}-{another}"
                several(scratch, client, second)
        except BaseException:
            compose("logs", "--tail", "40", capture=False)
            raise
        finally:
            compose("--profile", "training", "down", "--volumes", "--remove-orphans", "--timeout", "5")
    say("all as promised")


def walk(client: httpx.Client) -> None:
    """What an operator of one gateway goes through, in order."""
    compose("up", "--detach", "--no-build")
    until(lambda: status(client, "/healthz") == 200, "the gateway answers without any model")
    refused(client.get("/readyz"), "/readyz without models")

    train()
    export()
    until(lambda: status(client, "/readyz") == 200, "the first version is served")
    first = draw_and_judge(client)
    until(lambda: health("tfserving") == health("gateway") == "healthy", "both containers are healthy")
    confined()
    measured(client)
    logged(client)

    with ThreadPoolExecutor(1) as pool:
        exporting = pool.submit(export)
        until(
            lambda: draw_and_judge(client) > first, "a second version is served; no request failed meanwhile"
        )
        exporting.result()

    compose("stop", "tfserving")
    refused(client.post("/generate"), "/generate while TF Serving is down")
    refused(client.get("/readyz"), "/readyz while TF Serving is down")
    compose("start", "tfserving")
    until(lambda: status(client, "/generate", "POST") == 200, "TF Serving is back")
    draw_and_judge(client)

    with clients():
        before = time.monotonic()
        compose("stop", "gateway")
        seconds = time.monotonic() - before
    code = int(inspect("gateway", "{{.State.ExitCode}}"))
    # uvicorn shuts down in order and then lets the signal have its way: 128 + 15.
    check(code in (0, 143) and seconds < GRACE, f"SIGTERM ended the gateway in {seconds:.1f} s with {code}")

    del os.environ["HOLOFOIL_STORE"]
    compose("up", "--detach", "--no-build")
    until(lambda: status(client, "/readyz") == 200, "without a named store some models are served")
    (starter,) = (ROOT / "serving" / "models" / "generator").iterdir()
    check(draw_and_judge(client) == int(starter.name), "they are the starter models")


def several(scratch: Path, client: httpx.Client, second: httpx.Client) -> None:
    """Two gateways with keys that count together in Redis, made as docker/README.md says."""
    stored = scratch / "keys.txt"
    stored.unlink(missing_ok=True)
    alice = make_key("alice", stored)
    with_keys = yaml_with("secrets:").replace("../keys.txt", str(stored)).replace("600/", "6000/")
    (scratch / "keys.yaml").write_text(with_keys)
    (scratch / "redis.yaml").write_text(yaml_with("redis:").replace(REDIS, redis_image()))
    os.environ["COMPOSE_FILE"] = f"{COMPOSE_FILE}:{scratch}/keys.yaml:{scratch}/redis.yaml"
    os.environ["HOLOFOIL_RATE_STORE"] = "redis://redis:6379/0"
    compose("up", "--detach", "--no-build", "--scale", "gateway=2")
    for one in (client, second):
        until(lambda one=one: status(one, "/readyz") == 200, f"a gateway is ready at {one.base_url}")
        check(one.post("/generate").status_code == 401, "/generate without a key: 401")
    left = [cards_left(one, alice) for one in (client, second, client)]
    check(left == [5984, 5968, 5952], f"two gateways count 16 cards thrice: {left} are left of 6000")

    bob = make_key("bob", stored)
    until(lambda: draws(client, bob) and draws(second, bob), "a key that was added is known to both")

    first, _ = compose("ps", "--quiet", "gateway").splitlines()
    with clients(alice):
        docker("restart", first)
        until(
            lambda: status(client, "/readyz") == status(second, "/readyz") == 200, "one of two is restarted"
        )
    log = compose("logs", "--no-log-prefix", "gateway")
    check('"alice"' in log and not {alice, bob} & set(re.findall(r"holo_[\w-]+", log)), "no key is logged")


def make_key(name: str, stored: Path) -> str:
    """Make a key in the gateway's image and store its hash with the others; return the key."""
    told = docker("run", "--rm", GATEWAY, "key", name)
    (line,) = re.findall(rf"^{name}:.+$", told, re.MULTILINE)
    with stored.open("a") as file:
        file.write(f"{line}\n")
    (key,) = re.findall(r"holo_\S+", told)
    return key


def cards_left(client: httpx.Client, key: str) -> int:
    """Draw 16 cards, and return how many the key may still ask for."""
    answer = client.post("/generate", json={"n": 16, "layout": "sheet"}, headers=bearer(key))
    check(answer.status_code == 200, f"/generate with a key: {answer}", quiet=True)
    return int(answer.headers["RateLimit"].split("r=")[1].split(";")[0])


def draws(client: httpx.Client, key: str) -> bool:
    """Whether a key is accepted."""
    return client.post("/generate", headers=bearer(key)).status_code == 200


def bearer(key: str) -> dict[str, str]:
    """Return how a key is sent."""
    return {"Authorization": f"Bearer {key}"}


def yaml_with(words: str) -> str:
    """Return the file of docker/README.md that has these words."""
    (found,) = (block for block in YAML if words in block)
    return found


@contextlib.contextmanager
def clients(*keys: str) -> Iterator[None]:
    """Have clients ask all the while, and demand that every request has its answer."""
    with subprocess.Popen(
        ["docker", *beside((INSIDE / "clients.py").read_text(), "gateway", *keys)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        check(process.stdout.readline() == "under way\n", "clients are under way")
        yield
        ends = json.loads(process.communicate()[0])
    check(ends.keys() == {"200", "slow 200"}, f"how the clients' requests ended: {ends}")


def beside(program: str, *arguments: str) -> list[str]:
    """Return how docker runs a Python program in a container beside the gateways."""
    network = f"--network={PROJECT}_default"
    return [
        "run",
        "--rm",
        "--interactive",
        network,
        "--entrypoint=python",
        GATEWAY,
        "-c",
        program,
        *arguments,
    ]


def train() -> None:
    """Make a run in the training container."""
    holofoil("sample-cards", "cards", "--count", "48")
    holofoil("prepare", "cards", "data")
    holofoil("train", "data", "runs/first", "--preset", "smoke", "--images", "48")


def export() -> None:
    """Publish the run once more."""
    holofoil("export", "runs/first", "/store")


def holofoil(*arguments: str) -> None:
    """Run one command of the training container."""
    compose("run", "--rm", "training", *arguments)
    say(f"holofoil {' '.join(arguments)}")


def draw_and_judge(client: httpx.Client) -> int:
    """Draw a card and have it judged; return the version that drew it."""
    drawn = client.post("/generate", json={"seed": 7}, headers={"Accept": "image/png"})
    check(
        drawn.status_code == 200 and drawn.content.startswith(b"\x89PNG"), f"/generate: {drawn}", quiet=True
    )
    again = client.post("/generate", json={"seed": 7}, headers={"Accept": "image/png"})
    same_version = again.headers["X-Model-Version"] == drawn.headers["X-Model-Version"]
    check(not same_version or again.content == drawn.content, "a seed draws its card again", quiet=True)
    judged = client.post("/score", files={"files": ("card.png", drawn.content, "image/png")})
    check(judged.status_code == 200, f"/score: {judged} {judged.text}", quiet=True)
    check(0 <= judged.json()["data"][0]["probability"] <= 1, f"/score: {judged.text}", quiet=True)
    return int(drawn.headers["X-Model-Version"])


def refused(answer: httpx.Response, what: str) -> None:
    """Demand a 503 that explains itself."""
    told = answer.headers["Content-Type"].startswith("application/problem+json") and answer.json()["detail"]
    check(answer.status_code == 503 and bool(told), f"{what}: {answer.status_code} {answer.text}")


def confined() -> None:
    """Look from the inside at what a container may do and holds."""
    seen = json.loads(compose("exec", "-T", "gateway", "python", "-c", (INSIDE / "look.py").read_text()))
    check(
        seen
        == {
            "user": 10001,
            "rights": "0" * 16,
            "can get more": False,
            "writes to": ["/tmp"],
            "holds": [],
        },
        f"the gateway's container: {seen}",
    )
    check(
        json.loads(inspect("tfserving", "{{json .HostConfig.PortBindings}}")) == {},
        "TF Serving is not published",
    )
    networks = json.loads(inspect("tfserving", "{{json .NetworkSettings.Networks}}"))
    internal = [docker("network", "inspect", "--format", "{{.Internal}}", network) for network in networks]
    check(internal == ["true"], "TF Serving is on an internal network alone")
    touched = compose("exec", "-T", "tfserving", "bash", "-c", "touch /models/probe 2>&1 || true")
    check("Read-only file system" in touched, "TF Serving cannot write models")


def measured(client: httpx.Client) -> None:
    """Look where the metrics can be read."""
    read = "import urllib.request as r; print(r.urlopen('http://gateway:9464/metrics').read().decode())"
    page = docker(*beside(read))
    cards = dict(re.findall(r'^holofoil_cards_total\{route="(.+)"\} (.+)$', page, re.MULTILINE))
    check(float(cards["/generate"]) > 0, f"a container beside the gateway reads its metrics: {cards}")
    published = json.loads(inspect("gateway", "{{json .HostConfig.PortBindings}}"))
    check(list(published) == ["8000/tcp"], "they are not published")
    check(client.get("/metrics").status_code == 404, "and not beside all else")


def logged(client: httpx.Client) -> None:
    """Look for a request in the log."""
    asked = client.post("/generate", json={"n": 0}).headers["X-Request-ID"]
    lines = compose("logs", "--no-log-prefix", "gateway").splitlines()
    others = [line for line in lines if not line.startswith("{")]
    check(all(line.startswith("Holofoil: http") for line in others), f"the log is JSON but for {others}")
    found = [line for line in map(json.loads, set(lines) - set(others)) if line.get("request_id") == asked]
    ends = [line["status"] for line in found if line["event"] == "request"]
    check(ends == [422], f"a request is found by its id: {found}")


def status(client: httpx.Client, path: str, method: str = "GET") -> int | None:
    """Return the status of a request, None if nobody answers."""
    try:
        return client.request(method, path).status_code
    except httpx.TransportError:
        return None


def health(service: str) -> str:
    """Return what docker's healthcheck has found."""
    return inspect(service, "{{.State.Health.Status}}")


def inspect(service: str, format: str) -> str:
    """Ask docker about a service's container."""
    return docker("inspect", "--format", format, compose("ps", "--all", "--quiet", service))


def client_of(port: int) -> httpx.Client:
    """Return a client of the gateway that is published there."""
    return httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False)


def free_ports() -> tuple[int, int]:
    """Return two ports in a row that nobody listens on."""
    while True:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port: int = listener.getsockname()[1]
            with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port + 1)):
                return port, port + 1


if __name__ == "__main__":
    main()
