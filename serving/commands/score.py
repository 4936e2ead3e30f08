"""holofoil-gateway score: a line for each picture."""

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from serving.commands.asking import gateway, gateway_options
from serving.commands.pictures import PIPE
from serving.commands.progress import Progress
from serving.commands.trouble import REFUSED, Trouble

if TYPE_CHECKING:
    from serving.bodies import UnreadCard
    from serving.client import JudgedCard
    from serving.client.message import Call


TITLE = "percentile  probability    logit  file\n"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for what to judge, and what to print."""
    parser.add_argument("files", nargs="+", metavar="FILE", help="PNG, JPEG or WebP file, or - for stdin")
    parser.add_argument("--json", action="store_true", help="print a JSON object a line, with all details")
    parser.add_argument("--lenient", action="store_true", help="score the others if a file is unreadable")
    gateway_options(parser)


def run(options: argparse.Namespace) -> None:
    """Judge any number of files and print a line for each, in their order."""
    with gateway(options) as client:
        from serving.bodies import UnreadCard
        from serving.client import calls
        from serving.client.upload import readable

        pictures = [sys.stdin.buffer.read() if name == PIPE else name for name in options.files]
        asking = calls.score_lenient if options.lenient else calls.score
        asked = cast("Sequence[Call[list[JudgedCard | UnreadCard]]]", asking(pictures))
        title = "" if options.json else TITLE
        unread = 0
        with Progress("judged", len(pictures)) as progress:
            found = (card for call in asked for card in client.fetch(call))
            for name, card in zip(options.files, found, strict=True):
                named = card.model_copy(update={"filename": readable(name)})
                unread += isinstance(card, UnreadCard)
                progress.add(1)
                line = named.model_dump_json() if options.json else in_columns(named)
                sys.stdout.write(f"{title}{line}\n")
                title = ""
    if unread:
        raise Trouble(REFUSED, f"{unread} of {len(pictures)} could not be read.")


def in_columns(card: "JudgedCard | UnreadCard") -> str:
    """Write one judgement as a line."""
    from serving.bodies import UnreadCard

    if isinstance(card, UnreadCard):
        return f"{'-':>10}  {'-':>11}  {'-':>7}  {card.filename}: {card.error.detail}"
    return f"{card.percentile:10.1f}  {card.probability:11.4f}  {card.logit:7.3f}  {card.filename}"
