"""Generated pictures as the client returns them: image files, and what draws them again."""

import io
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path

from PIL import Image

from serving.bodies import ScoredCard

File = bytes  # in the class below, bytes is the picture's own


@dataclass(frozen=True)
class ImageFile:
    """A picture as it came."""

    bytes: File = field(repr=False)
    name: str
    """A file name that tells the seed, such as card-42.png."""
    version: str
    """Of the generator that drew it."""

    @property
    def image(self) -> Image.Image:
        """The picture for Pillow, decoded anew each time; of several frames, the first."""
        image = Image.open(io.BytesIO(self.bytes), formats=("PNG", "JPEG", "WEBP", "GIF"))
        image.load()
        return image

    def save(self, to: str | PathLike[str], *, overwrite: bool = True) -> Path:
        """Write the file and return its path; in a folder, it is called `name`.

        Raises FileExistsError if it exists and must not be overwritten.
        """
        path = Path(to)
        path = path / self.name if path.is_dir() else path
        with path.open("wb" if overwrite else "xb") as file:
            file.write(self.bytes)
        return path


@dataclass(frozen=True)
class Card(ImageFile):
    """One drawn card. The same seed, label, truncation and version draw it again."""

    seed: int | None
    """None for a card from noise of one's own."""
    label: str | None
    """Its kind; None from models that know no kinds."""


class JudgedCard(ScoredCard):
    """What the discriminator makes of one picture."""

    version: str
    """Of the discriminator that judged it; logits compare within one version only."""
