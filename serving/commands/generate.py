"""holofoil-gateway generate: cards into files."""

import argparse
import os
import secrets
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
from serving.commands.progress import Progress
from serving.commands.trouble import USAGE, Trouble
from serving.file_names import file_name

if TYPE_CHECKING:
    from serving.cards import Format

FORMATS: "dict[str, Format]" = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".webp": "webp"}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for what to draw, and where to."""
    parser.add_argument("-n", type=int, default=1, help="number of cards (default: 1)")
    parser.add_argument("--seed", type=int, help="seed of the first card, 0 to 4294967295 (default: random)")
    card_options(parser, "cards")
    parser.add_argument(
        "--format",
        choices=sorted(set(FORMATS.values())),
        help="file format (default: by the ending of OUT, or png)",
    )
    parser.add_argument("--quality", type=int, help="quality of jpeg and webp, 1 to 100")
    output_options(parser, "folder for card-SEED.png, or for one card a file or - for stdout (default: .)")
    gateway_options(parser)


def run(options: argparse.Namespace) -> None:
    """Draw cards into files and print their names, as soon as each has come."""
    with gateway(options) as client:
        from serving.client import calls
        from serving.noise import SEEDS

        named = format_of(options.out, FORMATS)
        if options.n < 1:
            raise Trouble(USAGE, "Give -n 1 or more cards.")
        if options.n > 1 and (named or options.out == PIPE):
            where = "a file" if named else "a pipe"
            raise Trouble(USAGE, f"Only one card fits into {where}; give -o a folder, as in -o cards{os.sep}")
        format: Format = options.format or named or "png"
        seed: int = secrets.randbelow(SEEDS) if options.seed is None else options.seed
        folder = None if named or options.out == PIPE else Path(options.out)
        names = [file_name("card", (seed + i) % SEEDS, format) for i in range(options.n)]
        paths = [folder / name for name in names] if folder else [Path(options.out)]
        refuse_to_overwrite(paths, options)
        asked = calls.generate(
            options.n, seed, options.label, options.truncation, format=format, quality=options.quality
        )
        with Progress("drawn", options.n) as progress:
            drawn = (card for call in asked for card in client.fetch(call))
            for path, card in zip(paths, drawn, strict=True):
                write(card.bytes, path, options.force)
                progress.add(1)
