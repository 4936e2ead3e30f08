"""The gateway that a command asks: its address, the key, and the time limit."""

import argparse
import contextlib
import os
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING

from serving.commands.trouble import LATER, REFUSED, USAGE, Trouble

if TYPE_CHECKING:  # the client needs httpx, which a gateway can do without; and importing it takes time
    from serving.client import Holofoil

HERE = "http://127.0.0.1:8000"
VARIABLES = ("HOLOFOIL_URL", "HOLOFOIL_KEY", "HOLOFOIL_KEY_FILE")
"""What commands read of the environment; none of it is a setting of the gateway."""


def gateway_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for the gateway. The key is no argument: everyone on the machine could see it."""
    parser.add_argument("--url", help=f"address of the gateway (default: $HOLOFOIL_URL, or {HERE})")
    parser.add_argument(
        "--key-file",
        type=Path,
        metavar="FILE",
        help="file with the API key in its first line (default: $HOLOFOIL_KEY_FILE, else $HOLOFOIL_KEY)",
    )
    parser.add_argument(
        "--timeout",
        type=float,
        default=30.0,
        metavar="SECONDS",
        help="time limit of each request of up to 16 cards, retries included (default: 30)",
    )


@contextlib.contextmanager
def gateway(options: argparse.Namespace) -> "Generator[Holofoil]":
    """Open a client whose errors become Trouble."""
    try:
        from serving.client import (
            Busy,
            Holofoil,
            HolofoilError,
            NotAllowed,
            RateLimited,
            TooLate,
            Unreachable,
        )

        url = options.url or os.environ.get("HOLOFOIL_URL") or HERE
        client = Holofoil(url, key(options), timeout=options.timeout)
    except (ImportError, ValueError) as error:  # of httpx, or of what a proxy in the environment needs
        raise Trouble(USAGE, str(error)) from None
    try:
        with client:
            yield client
    except ValueError as error:
        raise Trouble(USAGE, str(error)) from None
    except NotAllowed as error:
        hint = "" if key(options) else " Put it into HOLOFOIL_KEY, or name its file with --key-file."
        raise Trouble(REFUSED, f"{error}{hint}") from None
    except HolofoilError as error:
        later = isinstance(error, Busy | RateLimited | TooLate | Unreachable)
        raise Trouble(LATER if later else REFUSED, str(error)) from None


def key(options: argparse.Namespace) -> str | None:
    """Return the API key from a file or the environment, None where there is none."""
    file = options.key_file or os.environ.get("HOLOFOIL_KEY_FILE")
    if file:
        return Path(file).read_text().partition("\n")[0].strip()
    return os.environ.get("HOLOFOIL_KEY") or None
