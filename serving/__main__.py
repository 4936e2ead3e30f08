"""Starts uvicorn as it must be started, and says where to look."""

import argparse
import difflib
import logging
import os
import signal
import socket
import sys
import warnings
from collections.abc import Mapping, Sequence

import uvicorn
from pydantic import ValidationError

from serving import shell
from serving.app import create_app
from serving.settings import Settings

PREFIX = "HOLOFOIL_"
BACKLOG = 2048


class Server(uvicorn.Server):
    """A server that says where it listens once it accepts."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then print one line."""
        await super().startup(sockets)
        if self.started and sockets:
            sys.stdout.write(f"Holofoil: {url(sockets[0])}\n")
            sys.stdout.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command where one is named, else serve until a signal comes.

    Serving returns 2 for a wrong setting, 1 for an address that cannot be had.
    """
    options = parser().parse_args(arguments)
    if options.command:
        return shell.run(options.command, options)
    warnings.filterwarnings("ignore", module="PIL")  # says on stderr what is odd about somebody's upload
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
    try:
        settings = Settings()
    except ValidationError as error:
        return fail(2, f"a setting is wrong. {in_words(error)}")
    for name in misspelt(os.environ):
        logging.getLogger(__name__).warning("%s is no setting; holofoil-gateway --help lists them", name)
    try:
        listener = listen(settings)
    except OSError as error:
        return fail(
            1,
            f"{settings.host}:{settings.port} cannot be listened on: {error.strerror or error}. "
            "Set HOLOFOIL_HOST or HOLOFOIL_PORT to another; port 0 picks a free one.",
        )
    server = Server(
        uvicorn.Config(
            create_app(settings),
            log_config=None,
            log_level=logging.WARNING,
            access_log=False,
            server_header=False,
            ws="none",
            timeout_keep_alive=75,  # longer than the 60 s of common proxies, which else answer 502
            timeout_graceful_shutdown=20,
        )
    )
    try:
        server.run(sockets=[listener])
    except KeyboardInterrupt:  # uvicorn raises the signal again after it has shut down in order
        return 128 + signal.SIGINT
    return 0


def parser() -> argparse.ArgumentParser:
    """Explain the commands and the settings, which have no options: the environment is their one way."""
    lines = [
        f"  {PREFIX}{name.upper()}: {field.description} Default: {field.default}"
        for name, field in Settings.model_fields.items()
    ]
    made = argparse.ArgumentParser(
        prog="holofoil-gateway",
        description="Serve cards over HTTP, or ask a gateway that does.",
        epilog="\n".join(["settings, from the environment:", *lines]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    shell.add_commands(made)
    return made


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
    known = [*shell.VARIABLES, *(f"{PREFIX}{name.upper()}" for name in Settings.model_fields)]
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
