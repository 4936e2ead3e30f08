"""A folder of pictures becomes a dataset; what is no card, or no other card, is left out with words."""

import hashlib
import json
import os
import shutil
import sys
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Literal

import numpy as np
from tqdm import tqdm

from serving.cards import FOLDER_FORMATS, FOLDER_MAX_PIXELS, BadCard, Card, decode, fit
from training.dataset import CARDS, MANIFEST, BadDataset, Dataset, load
from training.folder import Pictures, Skip, in_threads, suiting_size, survey

FEWEST_CARDS = 16
ENOUGH_CARDS = 300
SIDES = range(8, 1025)  # of a card, in pixels
HOLDOUT_SHARE = 0.075
HOLDOUT_MOST = 1000
FLAT = 2.0  # standard deviation, of 255, below which a picture is one colour and the noise of a scan
MOST_SPREAD = 0.03  # of the pictures' aspects, as a share of their median
NAMED = 10  # files that are named of each kind that is left out

# What is said of the files left out, by their code.
LEFT_OUT = {
    "odd": "{n} lie the other way than most: turn or crop them, or squash them to fit: --orientation any",
    "copy": "{n} show the same as another picture, which is kept once.",
    "flat": "{n} show nothing but one colour.",
    "unreadable": "{n} could not be read.",
}

Orientation = Literal["one", "any"]


def parse_size(text: str) -> tuple[int, int] | tuple[None, None]:
    """Read WIDTHxHEIGHT; return height and width, or two times None for auto. Raises BadDataset."""
    if text == "auto":
        return None, None
    try:
        width, height = (int(side) for side in text.split("x"))
    except ValueError:
        raise BadDataset(f"--size {text} is neither auto nor WIDTHxHEIGHT, such as 40x56.") from None
    return height, width


def prepare(
    folder: Path,
    out: Path,
    height: int | None = None,
    width: int | None = None,
    orientation: Orientation = "one",
) -> Dataset:
    """Read every picture below a folder into a dataset at `out`, resized to (height, width).

    Without a size the pictures' median shape chooses one. Pictures that cannot be read, show one colour,
    repeat another or, unless orientation is "any", lie the other way than most are skipped; the manifest
    lists them with their reason. Raises BadDataset if fewer than 16 are left, or if `out` is there already.
    """
    refuse_size(height, width)
    if out.exists():
        raise BadDataset(f"{out} is there already. Choose another place or delete it first.")
    pictures, skipped = selected(folder, orientation)
    height, width = chosen_size(pictures) if height is None or width is None else (height, width)
    warn(pictures, height, width)
    with staged(out) as staging:
        cards, useless = write_cards(pictures, staging / CARDS, height, width)
        refuse_too_few(folder, len(cards), skipped + useless)
        shape = {"height": height, "width": width, "aspect": round(pictures.aspect, 4)}
        write_manifest(staging / MANIFEST, shape, cards, skipped + useless)
    tell(left_out(useless))
    if len(cards) < ENOUGH_CARDS:
        tell(f"{len(cards)} cards are few: expect near copies of them. {ENOUGH_CARDS} or more are better.")
    return load(out)


def selected(folder: Path, orientation: Orientation) -> tuple[Pictures, list[Skip]]:
    """Return the pictures below a folder that are worth decoding, and say which are not."""
    pictures, skipped = survey(folder)
    if orientation == "one":
        pictures, odd = pictures.of_one_orientation()
        skipped += odd
    refuse_too_few(folder, len(pictures.names), skipped)
    tell(left_out(skipped))
    return pictures, skipped


@contextmanager
def staged(out: Path) -> Generator[Path]:
    """Lend a folder that becomes `out` if all goes well, and vanishes otherwise."""
    staging = out.with_name(f".{out.name}.{os.getpid()}.part")
    staging.mkdir(parents=True)
    try:
        yield staging
        staging.rename(out)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def refuse_size(*sides: int | None) -> None:
    """Raise BadDataset for sides that no card has."""
    if not all(side is None or side in SIDES for side in sides):
        height, width = sides
        raise BadDataset(
            f"{width}x{height} is no size for a card: each side must have {SIDES[0]} to {SIDES[-1]} pixels."
        )


def chosen_size(pictures: Pictures) -> tuple[int, int]:
    """Return the height and width that suit the pictures, and say which these are."""
    height, width = suiting_size(pictures.aspect)
    tell(
        f"Cards of {width}x{height} suit these pictures. With a GPU or a night to spare: "
        f"--size {2 * width}x{2 * height} or --size {4 * width}x{4 * height}."
    )
    return height, width


def warn(pictures: Pictures, height: int, width: int) -> None:
    """Say what will make the cards worse than they could be."""
    if pictures.spread > MOST_SPREAD:
        tell(
            f"The pictures' shapes differ by {pictures.spread:.0%}, and all are squeezed into "
            f"{width}x{height}. Crop them to one shape."
        )
    small = np.flatnonzero((pictures.sizes < (height, width)).any(axis=1))
    if len(small):
        smallest = small[pictures.sizes[small].prod(axis=1).argmin()]
        tell(
            f"{len(small)} of {len(pictures.names)} pictures are smaller than {width}x{height} and will look "
            f"blurred, most of all {pictures.names[smallest]}. Choose a smaller --size or larger pictures."
        )


def write_cards(
    pictures: Pictures, place: Path, height: int, width: int
) -> tuple[dict[str, str], list[Skip]]:
    """Write all different cards one after another; return their names by hash, and what is left out."""
    names: dict[str, str] = {}
    skipped: list[Skip] = []

    def read(name: str) -> tuple[Card, str] | Skip:
        try:
            picture = decode((pictures.folder / name).read_bytes(), FOLDER_FORMATS, FOLDER_MAX_PIXELS)
            card = fit(picture.card, height, width)
            if card.std(axis=(0, 1)).max() < FLAT:
                return Skip(name, "flat", "It shows nothing but one colour.")
            return card, hashlib.sha256(card.tobytes()).hexdigest()
        except BadCard as bad:
            return Skip(name, bad.code, str(bad))
        except OSError as error:
            return Skip(name, "corrupt", f"The file cannot be read: {error.strerror}.")

    with place.open("wb") as file:
        for name, result in zip(pictures.names, in_threads(read, pictures.names, "prepare"), strict=True):
            if isinstance(result, Skip):
                skipped.append(result)
                continue
            card, content = result
            if content in names:
                skipped.append(Skip(name, "copy", f"Same as {names[content]}."))
            else:
                file.write(card.tobytes())
                names[content] = name
    return names, skipped


def write_manifest(place: Path, shape: dict[str, float], cards: dict[str, str], skipped: list[Skip]) -> None:
    """Write the cards' shape; for each of their rows its file, hash and split; each file that has no row."""
    held_out = holdout_hashes(list(cards))
    rows = [
        {"file": name, "sha256": content, "holdout": content in held_out} for content, name in cards.items()
    ]
    skips = [asdict(skip) for skip in skipped]
    manifest = {"format": 1, **shape, "cards": rows, "skipped": skips}
    place.write_text(json.dumps(manifest, indent=1))


def holdout_hashes(hashes: list[str]) -> set[str]:
    """Choose the cards to hold out: 7.5 % of them, at least one, at most 1,000.

    The lowest hashes are taken: the choice depends on the contents alone, never on names or order.
    """
    limit = min(max(1, round(HOLDOUT_SHARE * len(hashes))), HOLDOUT_MOST)
    return set(sorted(hashes)[:limit])


def refuse_too_few(folder: Path, count: int, skipped: list[Skip]) -> None:
    """Raise BadDataset unless there are cards enough to train on."""
    if count < FEWEST_CARDS:
        raise BadDataset(
            f"{count} different readable cards under {folder}; training needs at least {FEWEST_CARDS}, "
            f"better {ENOUGH_CARDS} or more. Add pictures.{left_out(skipped)}"
        )


def left_out(skipped: list[Skip]) -> str:
    """Say how many files are left out and why, and name the first of each kind."""
    kinds = [skip.code if skip.code in LEFT_OUT else "unreadable" for skip in skipped]
    lines: list[str] = []
    for kind, count in Counter(kinds).items():
        lines.append("Left out: " + LEFT_OUT[kind].format(n=f"{count:,}"))
        named = [skip for skip, its in zip(skipped, kinds, strict=True) if its == kind][:NAMED]
        lines += [f"  {skip.file}: {skip.reason}" for skip in named]
        if count > NAMED:
            lines.append(f"  and {count - NAMED:,} more")
    return "".join(f"\n{line}" for line in lines)


def tell(text: str) -> None:
    """Say something on stderr, where progress bars are."""
    if text:
        tqdm.write(text.strip(), sys.stderr)
