"""Starts uvicorn as it must be started, and says where to look; makes API keys."""

import argparse
import difflib
import ipaddress
import logging
import os
import signal
import socket
import sys
import warnings
from collections.abc import Mapping, Sequence

import uvicorn
from fastapi import FastAPI
from pydantic import ValidationError

from serving import keys
from serving.app import create_app
from serving.connection import within
from serving.settings import Settings

PREFIX = "HOLOFOIL_"
BACKLOG = 2048

logger = logging.getLogger(__name__)


class Server(uvicorn.Server):
    """A server that says where it listens once it accepts."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then print one line."""
        await super().startup(sockets)
        if self.started and sockets:
            sys.stdout.write(f"Holofoil: {url(sockets[0])}\n")
            sys.stdout.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve, or do what the arguments name instead; return the exit code."""
    given = parser().parse_args(arguments)
    return make_key(given.name, given.rights) if given.command == "key" else serve()


def make_key(name: str, rights: Sequence[keys.Right]) -> int:
    """Print what to store of a new key on stdout, and the key, which is given away, on stderr."""
    try:
        secret, key = keys.make(name, rights)
    except ValueError as error:
        return fail(2, str(error))
    sys.stderr.write(f"The key of {name}, shown only now: {secret}\n")
    sys.stdout.write(f"{key}\n")
    return 0


def serve() -> int:
    """Serve until a signal comes; return 2 for a wrong setting, 1 for an address that cannot be had."""
    warnings.filterwarnings("ignore", module="PIL")  # says on stderr what is odd about somebody's upload
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
    try:
        settings = Settings()
    except ValidationError as error:
        return fail(2, f"a setting is wrong. {in_words(error)}")
    for name in misspelt(os.environ):
        logger.warning("%s is no setting; holofoil-gateway --help lists them", name)
    if settings.keys_file is None and not loopback(settings.host):
        logger.warning("%s is open to all who reach it: HOLOFOIL_KEYS_FILE is not set", settings.host)
    try:
        app = create_app(settings)
    except keys.BadKeys as error:
        return fail(2, f"HOLOFOIL_KEYS_FILE: {error}.")
    except ImportError:
        return fail(2, "HOLOFOIL_RATE_STORE needs the extra redis: pip install 'holofoil[redis]'.")
    try:
        listener = listen(settings)
    except OSError as error:
        return fail(
            1,
            f"{settings.host}:{settings.port} cannot be listened on: {error.strerror or error}. "
            "Set HOLOFOIL_HOST or HOLOFOIL_PORT to another; port 0 picks a free one.",
        )
    try:
        Server(configure(app, settings)).run(sockets=[listener])
    except KeyboardInterrupt:  # uvicorn raises the signal again after it has shut down in order
        return 128 + signal.SIGINT
    return 0


def configure(app: FastAPI, settings: Settings) -> uvicorn.Config:
    """Return how uvicorn must be set for this gateway."""
    return uvicorn.Config(
        app,
        http=within(settings.body_timeout, settings.answer_timeout),
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


def parser() -> argparse.ArgumentParser:
    """Explain the settings; serving has no options, since the environment is the one way to set things."""
    lines = [
        f"  {PREFIX}{name.upper()}: {field.description} Default: {field.default}"
        for name, field in Settings.model_fields.items()
    ]
    parser = argparse.ArgumentParser(
        prog="holofoil-gateway",
        description="Serve cards over HTTP.",
        epilog="\n".join(["settings, from the environment:", *lines]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", title="commands, instead of serving")
    key = commands.add_parser("key", help="make an API key, and its line for HOLOFOIL_KEYS_FILE")
    key.add_argument("name", help="whose key it is, for logs and limits")
    key.add_argument("--rights", nargs="+", choices=keys.RIGHTS, default=["generate", "score"])
    return parser


def loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def fail(code: int, reason: str) -> int:
    """Say in one line why the gateway cannot start."""
    sys.stderr.write(f"Holofoil cannot start: {reason}\n")
    return code


def in_words(error: ValidationError) -> str:
    """Name each wrong setting as the operator wrote it."""
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    return " ".join(f"{PREFIX}{str(fault['loc'][0]).upper()}: {fault['msg']}." for fault in faults)


def misspelt(environment: Mapping[str, str]) -> list[str]:
    """Find HOLOFOIL_* variables that are nearly a setting and would otherwise be passed over in silence."""
    known = [f"{PREFIX}{name.upper()}" for name in Settings.model_fields]
    return [
        name
        for name in sorted(environment)
        if name.startswith(PREFIX)
        and name not in known
        and difflib.get_close_matches(name, known, cutoff=0.85)
    ]


def listen(settings: Settings) -> socket.socket:
    """Open the port before the application is made, so that a taken one is known at once."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    return socket.create_server((settings.host, settings.port), family=family, backlog=BACKLOG)


def url(listener: socket.socket) -> str:
    """Return the address to open in a browser on this machine."""
    name: tuple[str, int] = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(name[0], name[0])
    return f"http://[{host}]:{name[1]}" if ":" in host else f"http://{host}:{name[1]}"


if __name__ == "__main__":
    sys.exit(main())
