"""Configures and starts uvicorn, and prints the gateway's address."""

import difflib
import ipaddress
import logging
import os
import signal
import socket
import sys
import time
import warnings
from collections.abc import Mapping
from contextlib import AbstractContextManager, closing, nullcontext
from importlib.metadata import version
from types import FrameType

import uvicorn
from fastapi import FastAPI
from pydantic import ValidationError
from starlette.types import ASGIApp

from serving import heap, keys, logs
from serving.app import create_app
from serving.commands.asking import VARIABLES
from serving.connection import connection_class
from serving.connection_metrics import ConnectionMetrics
from serving.cores import hand_over_soon
from serving.life import Life
from serving.metrics import Metrics
from serving.places import files_for
from serving.rates import BadStore
from serving.settings import PREFIX, Settings
from serving.shedding import LoadShedder

BACKLOG = 2048

logger = logging.getLogger(__name__)


class Server(uvicorn.Server):
    """Prints its address once it accepts connections, and announces its end before it stops listening."""

    def __init__(self, config: uvicorn.Config, life: Life, drain_delay: float) -> None:
        """Take the seconds between the first SIGTERM and the end of listening."""
        super().__init__(config)
        self.life = life
        self.drain_delay = drain_delay
        self.asked_to_end: float | None = None  # when
        self.announced = False

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then print one line."""
        await super().startup(sockets)
        heap.freeze()
        hand_over_soon()
        if self.started and sockets:
            sys.stdout.write(f"Holofoil: {url(sockets[0])}\n")
            sys.stdout.flush()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End at once; but after the first SIGTERM, serve on until balancers have noticed."""
        if sig == signal.SIGTERM and self.asked_to_end is None:
            self.asked_to_end = time.monotonic()
            self.life.draining = True
        else:
            super().handle_exit(sig, frame)

    async def on_tick(self, counter: int) -> bool:
        """Tell whether it is time to stop listening."""
        if self.asked_to_end is not None and not self.announced:
            # Not in the signal handler, which may interrupt another line of the log.
            self.announced = True
            words = "Asked to end: /readyz says so, and requests are served for %g s more"
            logger.info(words, self.drain_delay)
        due = self.asked_to_end is not None and time.monotonic() - self.asked_to_end >= self.drain_delay
        return await super().on_tick(counter) or due or self.life.failed

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, and end once the requests under way have their answers."""
        logger.info("Nobody new is let in, requests are under way: %d", len(self.server_state.tasks))
        await super().shutdown(sockets)
        logger.info("Ended")


class CannotStart(Exception):
    """Ends the start with one line on stderr and an exit code."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


def serve() -> int:
    """Serve until a signal comes.

    Returns 2 for a wrong setting; 1 for an address that cannot be had, or if the gateway itself failed.
    """
    warnings.filterwarnings("ignore", module="PIL")  # would describe odd uploads on stderr
    try:
        settings = read_settings()
        app = make_app(settings)
        with listen(settings) as listener, serve_metrics(app.state.metrics, settings):
            return run(app, settings, listener)
    except CannotStart as trouble:
        sys.stderr.write(f"Holofoil cannot start: {trouble}\n")
        return trouble.code


def read_settings() -> Settings:
    """Read the settings, set up the log, and warn of likely slips."""
    try:
        settings = Settings()
    except ValidationError as error:
        raise CannotStart(2, f"a setting is wrong. {in_words(error)}") from None
    logs.configure(settings.log_level, settings.log_format, sys.stderr)
    for name in misspelt(os.environ):
        logger.warning("%s is no setting; holofoil-gateway --help lists them", name)
    if settings.keys_file is None and not loopback(settings.host):
        logger.warning("%s is open to all who reach it: HOLOFOIL_KEYS_FILE is not set", settings.host)
    return settings


def make_app(settings: Settings) -> FastAPI:
    """Make the gateway."""
    try:
        return create_app(settings)
    except keys.BadKeys as error:
        raise CannotStart(2, f"HOLOFOIL_KEYS_FILE: {error}.") from None
    except BadStore as error:
        raise CannotStart(2, f"HOLOFOIL_RATE_STORE {error}.") from None


def run(app: FastAPI, settings: Settings, listener: socket.socket) -> int:
    """Have uvicorn serve the gateway on a socket; return the exit code."""
    chosen = {name: str(value) for name, value in settings if name in settings.model_fields_set}
    logger.info("Holofoil %s starts", version("holofoil"), extra={"settings": chosen})
    config = configure(app, settings, app.state.shedder, app.state.metrics)
    try:
        Server(config, app.state.life, settings.drain_delay).run(sockets=[listener])
    except KeyboardInterrupt:  # uvicorn raises the signal again after it has shut down in order
        return 128 + signal.SIGINT
    return 1 if app.state.life.failed else 0


def configure(
    app: ASGIApp,
    settings: Settings,
    shedder: LoadShedder | None = None,
    metrics: Metrics | None = None,
) -> uvicorn.Config:
    """Return how uvicorn must be set for this gateway; connections are counted in `metrics`."""
    return uvicorn.Config(
        app,
        http=connection_class(
            settings.body_timeout,
            settings.answer_timeout,
            files_for(settings.max_connections),
            shedder,
            ConnectionMetrics(metrics or Metrics()),
        ),
        log_config=None,
        log_level=logging.WARNING,
        access_log=False,
        server_header=False,
        # uvicorn's default believes what anybody on this machine says of an address.
        proxy_headers=settings.trusted_proxies is not None,
        forwarded_allow_ips=settings.trusted_proxies or "",
        ws="none",
        timeout_keep_alive=75,  # longer than the 60 s of common proxies, which else answer 502
        timeout_graceful_shutdown=20,
    )


def loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def in_words(error: ValidationError) -> str:
    """Name each wrong setting as the operator wrote it."""
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    return " ".join(f"{PREFIX}{str(fault['loc'][0]).upper()}: {fault['msg']}." for fault in faults)


def misspelt(environment: Mapping[str, str]) -> list[str]:
    """Find HOLOFOIL_* variables that resemble a setting and would otherwise be ignored in silence."""
    known = [*VARIABLES, *(f"{PREFIX}{name.upper()}" for name in Settings.model_fields)]
    return [
        name
        for name in sorted(environment)
        if name.startswith(PREFIX)
        and name not in known
        and difflib.get_close_matches(name, known, cutoff=0.85)
    ]


def listen(settings: Settings) -> socket.socket:
    """Open the port before any model is loaded, so that a taken one is known at once."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise CannotStart(
            1,
            f"{settings.host}:{settings.port} cannot be listened on: {error.strerror or error}. "
            "Set HOLOFOIL_HOST or HOLOFOIL_PORT to another; port 0 picks a free one.",
        ) from None


def serve_metrics(metrics: Metrics, settings: Settings) -> AbstractContextManager[object]:
    """Answer Prometheus on a port of its own, if the settings name one, until the context ends."""
    if settings.metrics_address is None:
        return nullcontext()
    try:
        return closing(metrics.serve(*settings.metrics_address))
    except (OSError, UnicodeError) as error:  # of a host name that DNS cannot spell
        raise CannotStart(
            1,
            f"{settings.metrics} cannot be listened on for metrics: {error}. "
            "Set HOLOFOIL_METRICS to another address.",
        ) from None


def url(listener: socket.socket) -> str:
    """Return the address to open in a browser on this machine."""
    name: tuple[str, int] = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(name[0], name[0])
    return f"http://[{host}]:{name[1]}" if ":" in host else f"http://{host}:{name[1]}"
