"""The commands of holofoil-gateway beside serving: questions to one that runs already, and keys for one."""

import argparse
import contextlib
import io
import os
import secrets
import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

from serving import keys
from serving.file_names import file_name, morph_name

if TYPE_CHECKING:  # the client needs httpx, which a gateway need not have; and all of it takes time
    from serving.bodies import UnreadCard
    from serving.cards import Format
    from serving.client import Holofoil, JudgedCard
    from serving.client.calls import MovingFormat
    from serving.client.message import Call

T = TypeVar("T")

REFUSED, USAGE, LATER = 1, 2, 3
CODES = "exit codes: 0 done; 1 refused, or the file exists; 2 wrong command line; 3 failed, may work later"

HERE = "http://127.0.0.1:8000"
VARIABLES = ("HOLOFOIL_URL", "HOLOFOIL_KEY", "HOLOFOIL_KEY_FILE")
"""What the environment tells the commands; none of it is a setting of the gateway."""

PIPE = "-"
FORMATS: "dict[str, Format]" = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".webp": "webp"}
MOVING: "dict[str, MovingFormat]" = {".webp": "webp", ".gif": "gif", ".apng": "apng", ".png": "apng"}


class Trouble(Exception):
    """Ends a command with one line and an exit code."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


@dataclass(frozen=True)
class Command:
    """What a command does, and the options it has."""

    help: str
    run: Callable[[argparse.Namespace], None]
    options: Callable[[argparse.ArgumentParser], None]


def add_commands(parser: argparse.ArgumentParser) -> None:
    """Let a parser know every command; `command` is the one that was named, None for serving."""
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
    """Say in one line why a command ends."""
    sys.stderr.write(f"holofoil-gateway: {' '.join(reason.split())}\n")
    return code


# --- the gateway that is asked


def gateway_options(parser: argparse.ArgumentParser) -> None:
    """Where the gateway is, and who asks; the key is no argument, which everyone on a machine could see."""
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
    """Open a client; what goes wrong with it becomes Trouble."""
    try:
        from serving.client import Busy, Holofoil, HolofoilError, RateLimited, TooLate, Unreachable

        url = options.url or os.environ.get("HOLOFOIL_URL") or HERE
        client = Holofoil(url, key(options), timeout=options.timeout)
    except (ImportError, ValueError) as error:  # of httpx, or of what a proxy in the environment needs
        raise Trouble(USAGE, str(error)) from None
    try:
        with client:
            yield client
    except ValueError as error:
        raise Trouble(USAGE, str(error)) from None
    except HolofoilError as error:
        later = isinstance(error, Busy | RateLimited | TooLate | Unreachable)
        raise Trouble(LATER if later else REFUSED, str(error)) from None


def key(options: argparse.Namespace) -> str | None:
    """Return the API key from a file or the environment, None where there is none."""
    file = options.key_file or os.environ.get("HOLOFOIL_KEY_FILE")
    if file:
        return Path(file).read_text().partition("\n")[0].strip()
    return os.environ.get("HOLOFOIL_KEY") or None


class Progress:
    """A count on stderr, where somebody watches."""

    def __init__(self, word: str, total: int) -> None:
        self.word, self.total, self.done = word, total, 0
        self.watched = sys.stderr.isatty() and total > 1

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *error: object) -> None:
        if self.watched and self.done:
            sys.stderr.write("\r\x1b[K")

    def add(self, more: int) -> None:
        """Count what was done."""
        self.done += more
        if self.watched:
            sys.stderr.write(f"\r{self.word} {self.done:,} of {self.total:,}")
            sys.stderr.flush()


# --- generate


def generate_options(parser: argparse.ArgumentParser) -> None:
    """What to draw, and where to."""
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


def card_options(parser: argparse.ArgumentParser, drawn: str) -> None:
    """Which cards: their kind, and how typical they are."""
    parser.add_argument("--label", metavar="KIND", help=f"kind of all {drawn}; `ready` lists the kinds")
    parser.add_argument(
        "--truncation",
        type=float,
        help="above 0, to 2; below 1: more typical cards, above: wilder (default: 1)",
    )


def output_options(parser: argparse.ArgumentParser, out: str) -> None:
    """Where to, and what may be overwritten."""
    parser.add_argument("-o", "--out", default=".", help=out)
    parser.add_argument("--force", action="store_true", help="overwrite existing files")


def generate(options: argparse.Namespace) -> None:
    """Draw cards into files and print their names, as soon as each has come."""
    with gateway(options) as client:
        from serving.client import calls
        from serving.noise import SEEDS

        named = format_of(options.out, FORMATS)
        if options.n != 1 and (named or options.out == PIPE):
            where = "a file" if named else "a pipe"
            raise Trouble(USAGE, f"Only one card fits into {where}; give -o a folder, as in -o cards{os.sep}")
        format: Format = options.format or named or "png"
        seed: int = secrets.randbelow(SEEDS) if options.seed is None else options.seed
        folder = None if named or options.out == PIPE else Path(options.out)
        names = [file_name("card", (seed + i) % SEEDS, format) for i in range(options.n)]
        paths = [folder / name for name in names] if folder else [Path(options.out)]
        if options.out != PIPE and not options.force:
            refuse_to_overwrite(paths)
        asked = calls.generate(
            options.n, seed, options.label, options.truncation, format=format, quality=options.quality
        )
        with Progress("drawn", options.n) as progress:
            drawn = (card for call in asked for card in client.fetch(call))
            for path, card in zip(paths, drawn, strict=True):
                write(card.bytes, path, options.force)
                progress.add(1)


def format_of(out: str, formats: "Mapping[str, T]") -> "T | None":
    """Return the format that a file's name asks for, None for a folder or a pipe."""
    path = Path(out)
    if not path.suffix or path.is_dir() or out.endswith(os.sep):
        return None
    if path.suffix.lower() not in formats:
        raise Trouble(USAGE, f"{out}: a file ends with one of {', '.join(formats)}, a folder with {os.sep}.")
    return formats[path.suffix.lower()]


def refuse_to_overwrite(paths: Sequence[Path]) -> None:
    """Raise Trouble if a file is there already, before anything is asked for."""
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


# --- score


def score_options(parser: argparse.ArgumentParser) -> None:
    """What to judge."""
    parser.add_argument("files", nargs="+", metavar="FILE", help="PNG, JPEG or WebP file, or - for stdin")
    parser.add_argument("--json", action="store_true", help="print a JSON object a line, with all details")
    parser.add_argument("--lenient", action="store_true", help="score the others if a file is unreadable")
    gateway_options(parser)


def score(options: argparse.Namespace) -> None:
    """Judge any number of files and print a line for each, in their order."""
    with gateway(options) as client:
        from serving.bodies import UnreadCard
        from serving.client import calls
        from serving.client.upload import readable

        pictures = [sys.stdin.buffer.read() if name == PIPE else name for name in options.files]
        asking = calls.score_lenient if options.lenient else calls.score
        asked = cast("Sequence[Call[list[JudgedCard | UnreadCard]]]", asking(pictures))
        if not options.json:
            sys.stdout.write("percentile  probability    logit  file\n")
        unread = 0
        with Progress("judged", len(pictures)) as progress:
            found = (card for call in asked for card in client.fetch(call))
            for name, card in zip(options.files, found, strict=True):
                named = card.model_copy(update={"filename": readable(name)})
                unread += isinstance(card, UnreadCard)
                progress.add(1)
                sys.stdout.write(f"{named.model_dump_json() if options.json else in_columns(named)}\n")
    if unread:
        raise Trouble(REFUSED, f"{unread} of {len(pictures)} could not be read.")


def in_columns(card: "JudgedCard | UnreadCard") -> str:
    """Write one judgement as a line."""
    from serving.bodies import UnreadCard

    if isinstance(card, UnreadCard):
        return f"{'-':>10}  {'-':>11}  {'-':>7}  {card.filename}: {card.error.detail}"
    return f"{card.percentile:10.1f}  {card.probability:11.4f}  {card.logit:7.3f}  {card.filename}"


# --- morph


def morph_options(parser: argparse.ArgumentParser) -> None:
    """Which cards to pass, and how."""
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


def morph(options: argparse.Namespace) -> None:
    """Draw the cards between seeds as a moving picture."""
    with gateway(options) as client:
        named = format_of(options.out, MOVING)
        format: MovingFormat = options.format or named or "webp"
        path = Path(options.out)
        if not named and options.out != PIPE:
            path /= morph_name(options.seeds, format)
        if options.out != PIPE and not options.force:
            refuse_to_overwrite([path])
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


# --- ready


def ready_options(parser: argparse.ArgumentParser) -> None:
    """How long to wait."""
    parser.add_argument("--wait", action="store_true", help="wait for the models, at most --timeout")
    parser.add_argument("--json", action="store_true", help="print a JSON object with all details")
    gateway_options(parser)


def ready(options: argparse.Namespace) -> None:
    """Tell which models answer, or why none do."""
    with gateway(options) as client:
        models = client.ready(wait=options.wait)
    kinds = f"; kinds: {', '.join(models.classes)}" if models.classes else ""
    words = f"ready: version {models.version}, cards of {models.width}x{models.height}{kinds}"
    sys.stdout.write(f"{models.model_dump_json() if options.json else words}\n")


# --- key


def key_options(parser: argparse.ArgumentParser) -> None:
    """Whose key it is, and what it may do."""
    parser.add_argument("name", help="name of the key, for the log and rate limits")
    rights = ["generate", "score"]
    words = f"what the key may do (default: {' '.join(rights)})"
    parser.add_argument("--rights", nargs="+", choices=keys.RIGHTS, default=rights, help=words)


def make_key(options: argparse.Namespace) -> None:
    """Print what to store of a new key on stdout, and the key, which is given away, on stderr."""
    try:
        secret, made = keys.make(options.name, options.rights)
    except ValueError as error:
        raise Trouble(USAGE, str(error)) from None
    sys.stderr.write(f"The key of {options.name}, shown only now: {secret}\n")
    sys.stdout.write(f"{made}\n")


COMMANDS = {
    "generate": Command("draw cards into files", generate, generate_options),
    "score": Command("score pictures", score, score_options),
    "morph": Command("morph cards into each other, as an animation", morph, morph_options),
    "ready": Command("check whether the models answer", ready, ready_options),
    "key": Command("create an API key, and its line for HOLOFOIL_KEYS_FILE", make_key, key_options),
}
