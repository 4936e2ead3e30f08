"""A folder of pictures becomes a dataset; what is no card, or a copy of one, is left out and named."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from serving.cards import Card, fit
from training.audit import rules
from training.audit.exhibit import Exhibit, printable
from training.audit.pictures import Look, look_at
from training.audit.rules import ENOUGH_CARDS, FEWEST_CARDS, Aim
from training.dataset import CARDS, MANIFEST, BadDataset, Dataset, load
from training.folder import Orientation, Pictures, Skip, in_threads, refuse_size, suiting_size, survey, tell
from training.presets import configure, suiting
from training.staging import staged

HOLDOUT_SHARE = 0.075
HOLDOUT_MOST = 1000
NAMED = 10  # files that are named of each kind that is left out

# What is said of the files left out, by their code.
LEFT_OUT = {
    "odd": "{n} lie the other way than most: turn or crop them, or squash them to fit: --orientation any",
    "copy": "{n} show the same as another picture, which is kept once.",
    "flat": "{n} show nothing but one colour.",
    "unreadable": "{n} could not be read.",
}


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
    lists them with their reason. What an audit would find in the rest is told in a line each. Raises
    BadDataset if fewer than 16 are left, for a size no preset can draw, or if `out` is there already.
    """
    if height is not None and width is not None:
        refuse_size(height, width)
    if out.exists():
        raise BadDataset(f"{out} is there already. Choose another place or delete it first.")
    pictures, skipped = selected(folder, orientation)
    height, width = chosen_size(pictures) if height is None or width is None else (height, width)
    aim = Aim(configure(suiting(gpu=False, hours=None), height, width))
    tell_findings(rules.of_sizes(pictures, aim))
    with staged(out) as staging:
        cards, looks, useless = write_cards(pictures, staging / CARDS, height, width)
        refuse_too_few(folder, len(cards), skipped + useless)
        shape = {"height": height, "width": width, "aspect": round(pictures.aspect, 4)}
        write_manifest(staging / MANIFEST, shape, cards, skipped + useless)
    tell(left_out(useless))
    tell_findings(rules.present([rules.few_cards(len(cards), aim)]) + rules.of_looks(looks))
    return load(out)


def selected(folder: Path, orientation: Orientation) -> tuple[Pictures, list[Skip]]:
    """Return the pictures below a folder that are worth decoding, and say which are not."""
    pictures, skipped = survey(folder, orientation)
    refuse_too_few(folder, len(pictures.names), skipped)
    tell(left_out(skipped))
    return pictures, skipped


def chosen_size(pictures: Pictures) -> tuple[int, int]:
    """Return the height and width that suit the pictures; name also the larger ones that most would fill."""
    height, width = suiting_size(pictures.aspect)
    larger = [
        f"--size {by * width}x{by * height}"
        for by in (2, 4)
        if pictures.filling(by * height, by * width).mean() >= 0.5
    ]
    more = f" With a GPU or a night to spare: {' or '.join(larger)}." if larger else ""
    tell(f"Cards of {width}x{height} suit these pictures.{more}")
    return height, width


def write_cards(
    pictures: Pictures, place: Path, height: int, width: int
) -> tuple[dict[str, str], list[Look], list[Skip]]:
    """Write all different cards one after another.

    Returns their names by hash, what was seen on them, and what is left out.
    """
    names: dict[str, str] = {}
    looks: list[Look] = []
    skipped: list[Skip] = []

    def read(place: int) -> tuple[Card, str, Look] | Skip:
        its_height, its_width = pictures.sizes[place].tolist()
        result = look_at(pictures.folder, pictures.names[place], (its_height, its_width), reduced=False)
        if isinstance(result, Skip):
            return result
        picture, look = result
        card = fit(picture, height, width)
        return card, hashlib.sha256(card.tobytes()).hexdigest(), look

    with place.open("wb") as file:
        for result in in_threads(read, list(range(len(pictures.names))), "prepare"):
            if isinstance(result, Skip):
                skipped.append(result)
                continue
            card, content, look = result
            if content in names:
                skipped.append(Skip(look.name, "copy", f"Same as {names[content]}."))
            else:
                file.write(card.tobytes())
                names[content] = look.name
                looks.append(look)
    return names, looks, skipped


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
        lines += [f"  {printable(skip.file)}: {printable(skip.reason)}" for skip in named]
        if count > NAMED:
            lines.append(f"  and {count - NAMED:,} more")
    return "".join(f"\n{line}" for line in lines)


def tell_findings(exhibits: Iterable[Exhibit]) -> None:
    """Say each finding of an audit in one line."""
    for exhibit in exhibits:
        tell(exhibit.line)
