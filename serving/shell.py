"""Runs the commands of holofoil-gateway other than serving, and says in one line why one fails."""

import argparse
import io
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass

from serving.commands import generate, key, morph, ready, score
from serving.commands.trouble import CODES, REFUSED, Trouble


@dataclass(frozen=True)
class Command:
    """What a command does, and its options."""

    help: str
    run: Callable[[argparse.Namespace], None]
    options: Callable[[argparse.ArgumentParser], None]


COMMANDS = {
    "generate": Command("draw cards into files", generate.run, generate.add_options),
    "score": Command("score pictures", score.run, score.add_options),
    "morph": Command("morph cards into each other, as an animation", morph.run, morph.add_options),
    "ready": Command("check whether the models answer", ready.run, ready.add_options),
    "key": Command("create an API key, and its line for HOLOFOIL_KEYS_FILE", key.run, key.add_options),
}


def add_commands(parser: argparse.ArgumentParser) -> None:
    """Add every command to a parser; `command` is the one that was named, None for serving."""
    parser.set_defaults(command=None)
    names = parser.add_subparsers(
        title="commands (default: start the gateway)",
        metavar="COMMAND",
        parser_class=argparse.ArgumentParser,
    )
    for name, command in COMMANDS.items():
        added = names.add_parser(name, help=command.help, description=command.help, epilog=CODES)
        command.options(added)
        added.set_defaults(command=command)


def run(command: Command, options: argparse.Namespace) -> int:
    """Run a command and return its exit code; whatever goes wrong is one line on stderr."""
    replace_closed()
    if not sys.stdout:
        return fail(REFUSED, "stdout is closed; >/dev/null has it say nothing.")
    try:
        command.run(options)
        sys.stdout.flush()
    except Trouble as trouble:
        return fail(trouble.code, str(trouble))
    except BrokenPipeError:  # the reader, such as head, has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        return fail(REFUSED, f"{error.filename}: {error.strerror}" if error.filename else str(error))
    except KeyboardInterrupt:
        return fail(130, "interrupted")
    return 0


def replace_closed() -> None:
    """Put an empty stream in place of one that the shell has closed (2>&-), for which Python has None."""
    sys.stdin = sys.stdin or io.TextIOWrapper(io.BytesIO())
    sys.stderr = sys.stderr or io.TextIOWrapper(io.BytesIO())


def fail(code: int, reason: str) -> int:
    """Say in one line why a command fails."""
    sys.stderr.write(f"holofoil-gateway: {' '.join(reason.split())}\n")
    return code
