"""holofoil-gateway key: a new API key, and its line for the file of keys."""

import argparse
import sys

from serving import keys
from serving.commands.trouble import USAGE, Trouble


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for whose key it is, and what it may do."""
    parser.add_argument("name", help="name of the key, for the log and rate limits")
    rights = ["generate", "score"]
    words = f"what the key may do (default: {' '.join(rights)})"
    parser.add_argument("--rights", nargs="+", choices=keys.RIGHTS, default=rights, help=words)


def run(options: argparse.Namespace) -> None:
    """Print the line to store for a new key on stdout, and the key itself, to give away, on stderr."""
    try:
        secret, made = keys.make(options.name, options.rights)
    except ValueError as error:
        raise Trouble(USAGE, str(error)) from None
    sys.stderr.write(f"The key of {options.name}, shown only now: {secret}\n")
    sys.stdout.write(f"{made}\n")
