"""holofoil-gateway morph: cards that turn into each other, as one moving picture."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from serving.commands.asking import gateway, gateway_options
from serving.commands.pictures import (
    PIPE,
    card_options,
    format_of,
    output_options,
    refuse_to_overwrite,
    write,
)
from serving.file_names import morph_name

if TYPE_CHECKING:
    from serving.client.calls import MovingFormat

MOVING: "dict[str, MovingFormat]" = {".webp": "webp", ".gif": "gif", ".apng": "apng", ".png": "apng"}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for which cards to pass, and how."""
    parser.add_argument("seeds", nargs="+", type=int, metavar="SEED", help="seeds of the cards, in order")
    parser.add_argument("--frames", type=int, help="number of frames from one card to the next (default: 12)")
    parser.add_argument("--milliseconds", type=int, help="duration of each frame (default: 80)")
    parser.add_argument("--once", action="store_true", help="end with the last card instead of looping")
    card_options(parser, "frames")
    parser.add_argument(
        "--format",
        choices=sorted(set(MOVING.values())),
        help="file format (default: by the ending of OUT, or webp)",
    )
    output_options(parser, "file, or folder for morph-FIRST-LAST.webp, or - for stdout (default: .)")
    gateway_options(parser)


def run(options: argparse.Namespace) -> None:
    """Draw the cards between seeds as a moving picture."""
    with gateway(options) as client:
        named = format_of(options.out, MOVING)
        format: MovingFormat = options.format or named or "webp"
        path = Path(options.out)
        if not named and options.out != PIPE:
            path /= morph_name(options.seeds, format)
        refuse_to_overwrite([path], options)
        moving = client.morph(
            options.seeds,
            options.label,
            options.truncation,
            frames=options.frames,
            milliseconds=options.milliseconds,
            loop=False if options.once else None,
            format=format,
        )
        write(moving.bytes, path, options.force)
