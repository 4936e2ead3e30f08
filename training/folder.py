"""A folder of pictures before a pixel is decoded: what can be read, how it is turned, which size suits it."""

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from serving.cards import FOLDER_FORMATS, FOLDER_MAX_PIXELS, BadCard, upright_size
from training.config import BadConfig
from training.dataset import BadDataset
from training.presets import SIDES, halvings, in_range

SUFFIXES = {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".gif"}
OTHER_SUFFIXES = {
    ".tif", ".tiff", ".heic", ".heif", ".avif", ".jxl", ".jp2", ".j2k", ".psd", ".xcf", ".svg", ".ai", ".eps",
    ".pdf", ".tga", ".ppm", ".pgm", ".apng", ".dng", ".raw", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".raf",
    ".rw2", ".pef",
}  # fmt: skip
"""Of pictures that are not read; a folder is expected to hold other files too."""
SQUARE = 1.05  # sides that differ by less make it neither portrait nor landscape
CELL = 8  # pixels of a card for one of the networks' lowest resolution: three halvings
GRID = range(2, 9)  # sides of that lowest resolution

Orientation = Literal["one", "any"]
Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Skip:
    """A file that is left out of the dataset."""

    file: str  # relative to the folder
    code: str  # closed, odd, copy, flat, or a BadCardCode of serving.cards
    reason: str


@dataclass(frozen=True)
class Pictures:
    """The readable pictures of a folder, in an order that is the same everywhere.

    Those in sub-folders come first: of several copies the first is kept, and there it may name a kind.
    """

    folder: Path
    names: list[str]  # relative to the folder, with /
    sizes: NDArray[np.int32]  # (n, 2): height and width, upright

    @property
    def aspects(self) -> NDArray[np.float64]:
        """Width over height of each picture."""
        return self.sizes[:, 1] / self.sizes[:, 0]

    @property
    def aspect(self) -> float:
        """The median of all aspects."""
        return float(np.median(self.aspects))

    @property
    def spread(self) -> float:
        """Standard deviation of the aspects, as a share of their median."""
        return float(self.aspects.std() / self.aspect)

    def filling(self, height: int, width: int) -> NDArray[np.bool_]:
        """Tell which pictures, (n,), have at least the pixels of a card, and need not be enlarged."""
        return np.all(self.sizes >= (height, width), axis=1)

    def of_one_orientation(self) -> tuple["Pictures", list[Skip]]:
        """Leave out landscape pictures among portrait ones, or portrait ones among landscape ones."""
        orientations = np.array([turned(aspect) for aspect in self.aspects])
        counts = Counter(orientations.tolist())
        odd = "portrait" if counts["landscape"] > counts["portrait"] else "landscape"
        kept, left = np.flatnonzero(orientations != odd), np.flatnonzero(orientations == odd)
        skipped = [
            Skip(self.names[index], "odd", "It is {2}, {1}x{0}.".format(*self.sizes[index], odd))
            for index in left
        ]
        return Pictures(self.folder, [self.names[index] for index in kept], self.sizes[kept]), skipped


def survey(folder: Path, orientation: Orientation) -> tuple[Pictures, list[Skip]]:
    """Find the pictures below a folder and read their headers; return also what is left out.

    With orientation "one" that includes pictures that lie the other way than most. Raises BadDataset for what
    is no folder or has no pictures.
    """
    names, skipped = picture_names(folder)
    found: list[str] = []
    sizes: list[tuple[int, int]] = []
    for name, size in zip(names, in_threads(lambda name: size_of(folder / name), names, "look"), strict=True):
        if isinstance(size, BadCard):
            skipped.append(Skip(name, size.code, str(size)))
        else:
            found.append(name)
            sizes.append(size)
    pictures = Pictures(folder, found, np.array(sizes, np.int32).reshape(-1, 2))
    if orientation == "any":
        return pictures, skipped
    pictures, odd = pictures.of_one_orientation()
    return pictures, skipped + odd


def picture_names(folder: Path) -> tuple[list[str], list[Skip]]:
    """List the pictures below a folder, and what cannot be entered; say how many are of other formats.

    Raises BadDataset for what is no folder or has no pictures.
    """
    if not folder.is_dir():
        raise BadDataset(f"{folder} is not a folder. Name the folder that holds your card images.")
    paths, closed, others = walked(folder)
    if not paths:
        reasons = "".join(f" {skip.file}: {skip.reason}" for skip in closed[:10])
        raise BadDataset(
            f"No PNG, JPEG, WebP, BMP or GIF files under {folder}.{reasons} "
            + (not_looked_at(others) or "Name the folder that holds your card images.")
        )
    tell(not_looked_at(others))
    names = (path.relative_to(folder).as_posix() for path in paths)
    return sorted(names, key=lambda name: ("/" not in name, name)), closed


def walked(folder: Path) -> tuple[list[Path], list[Skip], Counter[str]]:
    """Return the pictures below a folder, what cannot be entered, and how many files have each suffix.

    Links are followed, each folder once.
    """
    paths: list[Path] = []
    closed: list[Skip] = []
    others: Counter[str] = Counter()
    entered: set[str] = set()

    def note(error: OSError) -> None:
        closed.append(Skip(os.path.relpath(error.filename, folder), "closed", f"{error.strerror}."))

    for place, folders, files in os.walk(folder, onerror=note, followlinks=True):
        entered.add(os.path.realpath(place))
        folders[:] = [name for name in folders if os.path.realpath(Path(place, name)) not in entered]
        others.update(Path(name).suffix.lower() for name in files if not name.startswith("."))
        for path in (Path(place, name) for name in files if Path(name).suffix.lower() in SUFFIXES):
            try:
                paths += [path] if path.is_file() else []
                if path.is_symlink() and not path.exists():
                    closed.append(Skip(os.path.relpath(path, folder), "closed", "The link leads nowhere."))
            except OSError as error:
                note(error)
    return paths, closed, others


def not_looked_at(suffixes: Counter[str]) -> str:
    """Say how many files are pictures of a format that is not read; nothing if there are none."""
    counted = [f"{suffixes[suffix]:,} {suffix}" for suffix in sorted(suffixes.keys() & OTHER_SUFFIXES)]
    return f"Not looked at: {', '.join(counted)}. Save them as PNG or JPEG." if counted else ""


def tell(text: str) -> None:
    """Say something on stderr, where progress bars are."""
    if text:
        tqdm.write(text.strip(), sys.stderr)


def size_of(path: Path) -> tuple[int, int] | BadCard:
    """Return a picture's upright height and width, or why it cannot be read."""
    try:
        with path.open("rb") as file:
            return upright_size(file, FOLDER_FORMATS, FOLDER_MAX_PIXELS)
    except BadCard as bad:
        return bad
    except OSError as error:
        return BadCard("corrupt", f"The file cannot be read: {error.strerror}.")


def in_threads(do: Callable[[Item], Result], items: list[Item], title: str) -> Iterator[Result]:
    """Yield the results in the order of the items, under a progress bar, a few hundred at a time.

    Pillow decodes and resizes without holding the interpreter's lock: threads are enough. There is one for
    each processor, since each may hold a picture of 89 megapixels.
    """
    with ThreadPoolExecutor(os.cpu_count()) as pool, tqdm(total=len(items), desc=title, unit="card") as bar:
        for start in range(0, len(items), 512):
            for result in pool.map(do, items[start : start + 512]):
                bar.update()
                yield result


def parse_size(text: str) -> tuple[int, int] | tuple[None, None]:
    """Read WIDTHxHEIGHT; return height and width, or two times None for auto. Raises BadDataset."""
    if text == "auto":
        return None, None
    try:
        width, height = (int(side) for side in text.split("x"))
    except ValueError:
        raise BadDataset(
            f"--size {text} is not a size. Give WIDTHxHEIGHT in pixels, such as --size 40x56, or --size auto."
        ) from None
    refuse_size(height, width)
    return height, width


def refuse_size(height: int, width: int) -> None:
    """Raise BadDataset for a card that no preset can be trained on."""
    if not in_range(height, width):
        raise BadDataset(
            f"A card cannot be {width}x{height}: each side must have {SIDES[0]} to {SIDES[-1]} pixels. "
            "Choose another --size, or --size auto."
        )
    try:
        halvings(height, width)
    except BadConfig as bad:
        raise BadDataset(str(bad)) from None


def turned(aspect: float) -> Literal["portrait", "landscape", "square"]:
    """Tell which way a picture of this width over height is turned."""
    if aspect > SQUARE:
        return "landscape"
    return "portrait" if aspect < 1 / SQUARE else "square"


def suiting_size(aspect: float) -> tuple[int, int]:
    """Return the height and width, at most 64, of small cards whose shape is nearest to an aspect.

    Cards of 5:7 get 56x40, squares 64x64. The networks halve a card three times, so that its sides are
    multiples of 8; of sizes with the same shape the largest is taken.
    """
    grids = ((height, width) for height in GRID for width in GRID)
    height, width = min(grids, key=lambda grid: (abs(np.log(grid[1] / grid[0] / aspect)), -grid[0]))
    return CELL * height, CELL * width
