"""A folder of pictures becomes one array of cards, with a hold-out the networks never see."""

import hashlib
import json
import os
import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from serving.cards import FOLDER_FORMATS, FOLDER_MAX_PIXELS, BadCard, Card, decode, fit
from training.trouble import Trouble

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif"}
FEWEST_CARDS = 16
SIDES = range(8, 1025)  # of a card, in pixels
HOLDOUT_SHARE = 0.075
HOLDOUT_MOST = 1000

CARDS = "cards.uint8"  # (n, height, width, 3), no header: its shape stands in the manifest
MANIFEST = "manifest.json"


class BadDataset(Trouble):
    """The folder cannot be trained on; the message says why and what to do."""


@dataclass(frozen=True)
class Dataset:
    """Prepared cards: one uint8 array (n, height, width, 3) on disk, and who belongs to which split."""

    cards: NDArray[np.uint8]
    train: NDArray[np.intp]  # rows of cards
    holdout: NDArray[np.intp]  # rows never shown to either network
    fingerprint: str  # changes when any card or its order does

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of a card."""
        return self.cards.shape[1], self.cards.shape[2]

    def refuse_batch(self, batch: int) -> None:
        """Raise BadDataset if the training split does not fill one batch."""
        if len(self.train) < batch:
            raise BadDataset(
                f"{len(self.train)} training cards are fewer than one batch of {batch}. Lower --batch."
            )


def parse_size(text: str) -> tuple[int, int]:
    """Read WIDTHxHEIGHT; return height and width. Raises BadDataset."""
    try:
        width, height = (int(side) for side in text.split("x"))
    except ValueError:
        raise BadDataset(f"--size {text} is not WIDTHxHEIGHT, such as 40x56.") from None
    return height, width


def prepare(folder: Path, out: Path, height: int, width: int) -> Dataset:
    """Read every picture below a folder into a dataset at `out`, resized to (height, width).

    Pictures that cannot be read are skipped and listed with their reason in the manifest and on stderr.
    Raises BadDataset if fewer than 16 different ones can be read, or if `out` is there already.
    """
    if not all(side in SIDES for side in (height, width)):
        raise BadDataset(
            f"{width}x{height} is no size for a card: each side must have {SIDES[0]} to {SIDES[-1]} pixels."
        )
    if out.exists():
        raise BadDataset(f"{out} is there already. Choose another place or delete it first.")
    paths, closed = card_paths(folder)
    staging = out.with_name(f".{out.name}.{os.getpid()}.part")
    staging.mkdir(parents=True)
    try:
        manifest = write_cards(folder, paths, staging, height, width)
        manifest["skipped"] = closed + manifest["skipped"]
        refuse_too_few(folder, manifest)
        (staging / MANIFEST).write_text(json.dumps(manifest, indent=1))
        staging.rename(out)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return load(out)


def card_paths(folder: Path) -> tuple[list[Path], list[dict]]:
    """List the pictures below a folder, in an order that is the same everywhere, and what cannot be entered.

    Links are followed, each folder once. Raises BadDataset for what is no folder or has no pictures.
    """
    if not folder.is_dir():
        raise BadDataset(f"{folder} is not a folder. Name the folder that holds your card images.")
    paths: list[Path] = []
    closed: list[dict] = []
    entered: set[str] = set()

    def note(error: OSError) -> None:
        closed.append({"file": os.path.relpath(error.filename, folder), "reason": f"{error.strerror}."})
        tell_skipped(closed[-1])

    for place, folders, names in os.walk(folder, onerror=note, followlinks=True):
        entered.add(os.path.realpath(place))
        folders[:] = [name for name in folders if os.path.realpath(Path(place, name)) not in entered]
        pictures = (Path(place, name) for name in names if Path(name).suffix.lower() in SUFFIXES)
        paths += [path for path in pictures if path.is_file()]
    if not paths:
        reasons = "".join(f" {place['file']}: {place['reason']}" for place in closed[:10])
        raise BadDataset(f"No PNG, JPEG, WebP, BMP or GIF files under {folder}.{reasons}")
    return sorted(paths, key=lambda path: path.relative_to(folder).as_posix()), closed


def write_cards(folder: Path, paths: list[Path], staging: Path, height: int, width: int) -> dict:
    """Write all readable cards one after another; return the manifest."""
    cards: list[dict] = []
    skipped: list[dict] = []

    def read(path: Path) -> Card | BadCard:
        try:
            return fit(decode(path.read_bytes(), FOLDER_FORMATS, FOLDER_MAX_PIXELS).card, height, width)
        except BadCard as bad:
            return bad
        except OSError as error:
            return BadCard("corrupt", f"The file cannot be read: {error.strerror}.")

    with ThreadPoolExecutor() as pool, (staging / CARDS).open("wb") as file:
        # Pillow decodes and resizes without holding the interpreter's lock: threads are enough.
        for path, card in zip(
            paths, tqdm(pool.map(read, paths), "prepare", len(paths), unit="card"), strict=True
        ):
            name = path.relative_to(folder).as_posix()
            if isinstance(card, BadCard):
                skipped.append({"file": name, "reason": str(card)})
                tell_skipped(skipped[-1])
            else:
                file.write(card.tobytes())
                cards.append({"file": name, "sha256": hashlib.sha256(card.tobytes()).hexdigest()})
    held_out = holdout_hashes([card["sha256"] for card in cards])
    for card in cards:
        card["holdout"] = card["sha256"] in held_out
    return {"format": 1, "height": height, "width": width, "cards": cards, "skipped": skipped}


def tell_skipped(skip: dict) -> None:
    """Say what is left out, above the progress bar."""
    tqdm.write(f"skipped {skip['file']}: {skip['reason']}", sys.stderr)


def holdout_hashes(hashes: list[str]) -> set[str]:
    """Choose the contents to hold out: at most 7.5 % of the cards, at least one content, at most 1,000 cards.

    The lowest hashes are taken: the choice depends on the contents alone, never on names or order,
    and a duplicate always follows its twin.
    """
    limit = min(max(1, round(HOLDOUT_SHARE * len(hashes))), HOLDOUT_MOST)
    copies = Counter(hashes)
    chosen: set[str] = set()
    count = 0
    for content in sorted(copies):
        if count + copies[content] <= limit:
            chosen.add(content)
            count += copies[content]
    return chosen or set(sorted(copies)[:1])


def refuse_too_few(folder: Path, manifest: dict) -> None:
    """Raise BadDataset unless there are cards enough to train on."""
    count = len({card["sha256"] for card in manifest["cards"]})
    if count >= FEWEST_CARDS:
        return
    skipped = manifest["skipped"]
    reasons = "".join(f"\n  {skip['file']}: {skip['reason']}" for skip in skipped[:10])
    raise BadDataset(
        f"{count} different readable cards under {folder}; training needs at least {FEWEST_CARDS}, "
        "better 300 or more." + (f" {len(skipped)} could not be read:{reasons}" if skipped else "")
    )


def load(folder: Path) -> Dataset:
    """Open what prepare wrote, mapped from disk. Raises BadDataset if it is missing or damaged."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        shape = (len(manifest["cards"]), manifest["height"], manifest["width"], 3)
        cards = np.memmap(folder / CARDS, np.uint8, "r", shape=shape)
        held_out = np.array([card["holdout"] for card in manifest["cards"]])
        hashes = "".join(card["sha256"] for card in manifest["cards"])
    except FileNotFoundError:
        raise BadDataset(
            f"{folder} is no prepared dataset. Make one: holofoil prepare FOLDER {folder}"
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise BadDataset(f"{folder} is damaged ({error}). Delete it and prepare the folder anew.") from None
    fingerprint = hashlib.sha256(hashes.encode()).hexdigest()[:16]
    return Dataset(cards, np.flatnonzero(~held_out), np.flatnonzero(held_out), fingerprint)


def batches(dataset: Dataset, batch: int, seed: int, first: int = 0) -> Iterator[NDArray[np.uint8]]:
    """Yield batches (batch, height, width, 3) of the training split for ever, from step `first` on.

    Each pass over the data has its own order, which depends on (seed, pass) alone: a resumed run sees
    what the unbroken run would have seen. The last, partial batch of a pass is left out.
    """
    steps = len(dataset.train) // batch
    for epoch in range(first // steps, 2**63):
        order = np.random.Generator(np.random.Philox([seed, epoch])).permutation(dataset.train)
        start = first % steps if epoch == first // steps else 0
        for step in range(start, steps):
            yield dataset.cards[order[step * batch : (step + 1) * batch]]
