"""A picture to judge: a file, bytes, a Pillow image or an array."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from serving import cards
from serving.contract import MAX_ROWS

MEBIBYTE = 1024 * 1024
MAX_BYTES = 31 * MEBIBYTE
"""Of one request's files: below the 32 MiB that a gateway takes by default."""

Bytes = bytes | bytearray | memoryview
Picture = str | PathLike[str] | Bytes | Image.Image | NDArray[np.uint8]
"""A path, the bytes of an image file, a Pillow image, or uint8 (height, width, 3)."""


@dataclass(frozen=True)
class Upload:
    """One picture, and the name under which it is sent. It is not read before it is sent."""

    name: str
    picture: Picture
    size: int
    """Bytes: an upper bound, nearly."""

    def read(self) -> bytes:
        """Return the picture as the bytes of an image file; raises OSError for a file that cannot be read."""
        match self.picture:
            case bytes() | bytearray() | memoryview():
                return bytes(self.picture)
            case Image.Image():
                return cards.encode(cards.upright_rgb(self.picture).card)
            case np.ndarray():
                return cards.encode(self.picture)
            case _:
                return Path(self.picture).read_bytes()


def uploads_of(pictures: Picture | Iterable[Picture]) -> list[Upload]:
    """Name one picture or several.

    An array of (height, width, 3) is one card, one of (n, height, width, 3) is n.
    Raises OSError for a missing file, TypeError for anything but a picture, ValueError for none at all.
    """
    dimensions = getattr(pictures, "ndim", None)
    alone = isinstance(pictures, str | PathLike | Bytes | Image.Image) or dimensions in (2, 3)
    several = cast("Iterable[Picture]", [pictures] if alone or hasattr(pictures, "read") else pictures)
    uploads = [upload(picture, index) for index, picture in enumerate(several)]
    if not uploads:
        raise ValueError("There is no picture to judge.")
    return uploads


def upload(picture: Picture, index: int) -> Upload:
    """Name one picture: a file by its own name, anything else by its place."""
    match picture:
        case bytes() | bytearray() | memoryview():
            return Upload(f"{index}", picture, memoryview(picture).nbytes)
        case Image.Image():
            return Upload(f"{index}.png", picture, 3 * picture.width * picture.height)
        case np.ndarray():
            if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
                raise TypeError(
                    f"A card is uint8 (height, width, 3), not {picture.dtype} {picture.shape}: "
                    "scale its values to 0 to 255 and convert it."
                )
            return Upload(f"{index}.png", picture, picture.nbytes)
        case _ if hasattr(picture, "read"):  # its lines would be taken for pictures
            raise TypeError("An open file is no picture: give its path, or what its read() returns.")
        case _:
            path = Path(picture)  # raises TypeError for what is no path
            return Upload(readable(path.name), path, path.stat().st_size)


def readable(name: str) -> str:
    """Replace what is not UTF-8 in a file's name: JSON cannot hold it."""
    return os.fsencode(name).decode(errors="replace")


def batches(uploads: Sequence[Upload]) -> Iterator[tuple[int, Sequence[Upload]]]:
    """Split uploads into those of each request, with the place of the first."""
    start = size = 0
    for index, each in enumerate(uploads):
        if index > start and (index - start == MAX_ROWS or size + each.size > MAX_BYTES):
            yield start, uploads[start:index]
            start, size = index, 0
        size += each.size
    yield start, uploads[start:]
