"""The pictures that a command draws: which cards, in which format, and where to."""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from serving.commands.trouble import REFUSED, USAGE, Trouble

T = TypeVar("T")

PIPE = "-"
"""In place of a file's name: stdin or stdout."""


def card_options(parser: argparse.ArgumentParser, drawn: str) -> None:
    """Add the options for which cards: their kind, and how typical they are."""
    parser.add_argument("--label", metavar="KIND", help=f"kind of all {drawn}; `ready` lists the kinds")
    parser.add_argument(
        "--truncation",
        type=float,
        help="above 0, to 2; below 1: more typical cards, above: wilder (default: 1)",
    )


def output_options(parser: argparse.ArgumentParser, out: str) -> None:
    """Add the options for where to, and what may be overwritten."""
    parser.add_argument("-o", "--out", default=".", help=out)
    parser.add_argument("--force", action="store_true", help="overwrite existing files")


def format_of(out: str, formats: "Mapping[str, T]") -> "T | None":
    """Return the format that a file's name asks for, None for a folder or a pipe."""
    path = Path(out)
    if not path.suffix or path.is_dir() or out.endswith(os.sep):
        return None
    if path.suffix.lower() not in formats:
        raise Trouble(USAGE, f"{out}: a file ends with one of {', '.join(formats)}, a folder with {os.sep}.")
    return formats[path.suffix.lower()]


def refuse_to_overwrite(paths: Sequence[Path], options: argparse.Namespace) -> None:
    """Raise Trouble, before anything is asked for, if a file exists that may not be overwritten."""
    if options.force or options.out == PIPE:
        return
    there = [path for path in paths if path.exists()]
    if there:
        more = f" and {len(there) - 1} more" if len(there) > 1 else ""
        raise Trouble(REFUSED, f"{there[0]}{more}: there already; --force overwrites.")


def write(data: bytes, path: Path, force: bool) -> None:
    """Write a file and print its name, or the bytes themselves into a pipe."""
    if str(path) == PIPE:
        sys.stdout.buffer.write(data)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb" if force else "xb") as file:
        file.write(data)
    sys.stdout.buffer.write(os.fsencode(path) + b"\n")  # a name need not be text
    sys.stdout.flush()
