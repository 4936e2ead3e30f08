"""Who is measured: each starts its servers, and says how it is asked for the card of a seed."""

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.benchmarks.serving import environments, processes
from tests.benchmarks.serving.connection import NoAnswer, get, post
from tests.benchmarks.serving.load import Ask, Pool
from tests.benchmarks.serving.references import References

FORMATS = ("png", "jpeg")
WARM_UP = 64  # requests before anything is measured


class WrongCard(Exception):
    """A contender draws something else than the card that was asked for."""


@dataclass
class Target:
    """A contender that runs."""

    roots: list[psutil.Process]
    address: str
    request: Callable[[int, str], bytes]  # of a seed, in a format

    def __post_init__(self) -> None:
        self.pool = Pool(self.address)

    def asking(self, format: str) -> Ask:
        """Return how to ask for a card in this format."""

        async def ask(seed: int) -> int:
            return (await self.pool.ask(self.request(seed, format))).status

        return ask

    async def check(self, references: References) -> None:
        """Ask for every reference in both formats, all at once. Raises WrongCard."""

        async def check(seed: int, format: str) -> None:
            answer = await self.pool.ask(self.request(seed, format))
            if answer.status != 200 or not references.shows(seed, answer.body):
                raise WrongCard(f"seed {seed} as {format}: {answer.status} {answer.body[:200]!r}")

        seeds = range(len(references.cards))
        await asyncio.gather(*(check(seed, format) for seed in seeds for format in FORMATS))


@dataclass(frozen=True)
class Contender:
    """A server of cards over HTTP."""

    name: str
    command: Callable[[int], list[str | Path]]  # of the port to listen on
    environment: Callable[[Path, int], dict[str, str]]  # of the model store and the port
    request: Callable[[int, str], bytes]
    behind: bool = False  # whether it needs the stand-in for TF Serving

    @contextlib.asynccontextmanager
    async def running(self, store: Path) -> AsyncGenerator[Target]:
        """Start it and wait until it answers."""
        async with contextlib.AsyncExitStack() as stack:
            roots, settings = [], {}
            if self.behind:
                process, target = await stack.enter_async_context(stand_in(store))
                roots.append(process)
                settings = {"HOLOFOIL_TFSERVING": target}
            port = processes.free_port()
            environment = self.environment(store, port) | settings
            process = stack.enter_context(processes.running(self.command(port), environment))
            await processes.until_open(port, process)
            target = Target([process, *roots], f"http://127.0.0.1:{port}", self.request)
            await until_answering(target, process)
            yield target
            target.pool.close()


async def until_answering(target: Target, process: psutil.Popen, seconds: float = 120.0) -> None:
    """Ask until a card comes. Raises processes.CannotStart."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(NoAnswer, TimeoutError):
            async with asyncio.timeout(seconds):
                if await target.asking("png")(0) == 200:
                    return
        await asyncio.sleep(0.1)
    raise processes.CannotStart(f"draws no card; exit code {process.poll()}")


@contextlib.asynccontextmanager
async def stand_in(store: Path) -> AsyncGenerator[tuple[psutil.Process, str]]:
    """Run the stand-in for TF Serving; yield its process and where it listens."""
    port = processes.free_port()
    command: list[str | Path] = [sys.executable, "-m", "tests.fakes.model_server", store, str(port)]
    with processes.running(command, {}) as process:
        await processes.until_open(port, process)
        yield process, f"127.0.0.1:{port}"


def holofoil_request(seed: int, format: str) -> bytes:
    """Ask Holofoil for one picture."""
    return post("/generate", b'{"seed": %d}' % seed, "application/json", Accept=f"image/{format}")


def holofoil_environment(store: Path, port: int) -> dict[str, str]:
    """Set where it listens and what it serves; like all others here it writes no access log."""
    return {"HOLOFOIL_PORT": str(port), "HOLOFOIL_MODELS": str(store), "HOLOFOIL_LOG_LEVEL": "warning"}


def app_environment(store: Path, port: int) -> dict[str, str]:
    """Set what the applications in apps/ and their frameworks read; nobody's usage is reported."""
    return {
        "STORE": str(store),
        "PORT": str(port),
        "PYTHONPATH": str(environments.APPS),
        "BENTOML_DO_NOT_TRACK": "true",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_worker_niceness": "0",  # 15, its default, would put it behind the client
        "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60",  # the default gives up on a busy machine
    }


def query(seed: int, format: str) -> bytes:
    """Ask as one asks the plain application and Ray Serve."""
    return get(f"/generate?seed={seed}&format={format}")


def app(file: str) -> Path:
    """Return where an application lies."""
    return environments.APPS / file


HOLOFOIL: list[str | Path] = [sys.executable, "-m", "serving"]

CONTENDERS = {
    contender.name: contender
    for contender in (
        Contender("holofoil embedded", lambda port: HOLOFOIL, holofoil_environment, holofoil_request),
        Contender(
            "holofoil grpc", lambda port: HOLOFOIL, holofoil_environment, holofoil_request, behind=True
        ),
        Contender(
            "plain fastapi",
            lambda port: [
                *(environments.python_of("plain"), "-m", "uvicorn", "plain:app"),
                *("--port", str(port), "--no-access-log"),
            ],
            app_environment,
            query,
        ),
        Contender(
            "litserve",
            lambda port: [environments.python_of("litserve"), app("litserve_app.py")],
            app_environment,
            lambda seed, format: post(
                "/predict", b'{"seed": %d, "format": "%s"}' % (seed, format.encode()), "application/json"
            ),
        ),
        Contender(
            "bentoml",
            lambda port: [
                *(environments.python_of("bentoml"), "-m", "bentoml", "serve", "bento:Cards"),
                *("--working-dir", environments.APPS, "--host", "127.0.0.1", "--port", str(port)),
            ],
            app_environment,
            lambda seed, format: post(f"/{format}", b'{"seed": %d}' % seed, "application/json"),
        ),
        Contender(
            "ray serve",
            lambda port: [environments.python_of("ray"), app("ray_serve.py")],
            app_environment,
            query,
        ),
    )
}
