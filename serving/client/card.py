"""A generated card as the client hands it out."""

import io
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path

from PIL import Image

from serving.cards import UPLOAD_FORMATS

File = bytes  # in the class below, bytes is the card's own

EXTENSIONS = {"jpeg": "jpg"}
"""Where a format's files end otherwise than in its name."""


@dataclass(frozen=True)
class Card:
    """One drawn card: an image file and what draws it again."""

    bytes: File = field(repr=False)
    """The image file as it came."""
    format: str
    """png, jpeg or webp."""
    seed: int
    label: str | None
    version: str
    """Of the generator that drew it."""

    @property
    def image(self) -> Image.Image:
        """The card as a Pillow image, decoded anew each time."""
        image = Image.open(io.BytesIO(self.bytes), formats=UPLOAD_FORMATS)
        image.load()
        return image

    @property
    def name(self) -> str:
        """A file name that tells the seed: card-42.png."""
        return file_name(self.seed, self.format)

    def save(self, to: str | PathLike[str], *, overwrite: bool = True) -> Path:
        """Write the file and return its path; a folder gets it under `name`.

        Raises FileExistsError where it is there and must not be overwritten.
        """
        path = Path(to)
        path = path / self.name if path.is_dir() else path
        with path.open("wb" if overwrite else "xb") as file:
            file.write(self.bytes)
        return path


def file_name(seed: int, format: str) -> str:
    """Name a card's file by its seed."""
    return f"card-{seed}.{EXTENSIONS.get(format, format)}"
