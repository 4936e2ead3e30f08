"""The one door for pixels: image bytes become upright RGB cards here, and cards become image bytes.

Uploads and training images both pass through decode and fit, so that a score never suffers
from another resize, orientation, alpha or colour rule than training had.
"""

import io
import struct
import zlib
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

Card = NDArray[np.uint8]  # (height, width, 3), upright RGB
Format = Literal["png", "jpeg", "webp"]

UPLOAD_FORMATS = ("PNG", "JPEG", "WEBP")
FOLDER_FORMATS = (*UPLOAD_FORMATS, "BMP", "GIF")

MAX_PIXELS = 16_000_000
FOLDER_MAX_PIXELS = 89_000_000  # scans and photographs of one's own; above, Pillow warns of a bomb
MIN_SIDE = 8

# Everything Pillow 13 was seen to raise on damaged files.
UNREADABLE = (
    AssertionError,
    OSError,
    ValueError,
    SyntaxError,
    TypeError,
    EOFError,
    IndexError,
    KeyError,
    MemoryError,
    struct.error,
    zlib.error,
)

# Pillow warns above 89 megapixels and raises above 179; whoever turns warnings into errors sees both raised.
BOMBS = (Image.DecompressionBombError, Image.DecompressionBombWarning)

# Of files that were PNG, JPEG or WebP before something happened to them.
BEGINNINGS = (b"\x89PNG", b"\xff\xd8\xff", b"RIFF")
DAMAGED = "The image is damaged or cut short. Save or download it again."

ORIENTATION = 0x0112  # the EXIF tag
TURNED = range(2, 9)  # its values that mean anything but upright
SIDEWAYS = range(5, 9)  # those that exchange height and width

BadCardCode = Literal["empty", "unsupported", "corrupt", "animated", "dimensions"]


class BadCard(Exception):
    """These bytes are no card we can read; the message says why and what to do."""

    def __init__(self, code: BadCardCode, detail: str) -> None:
        super().__init__(detail)
        self.code: BadCardCode = code


@dataclass(frozen=True)
class Picture:
    """A decoded image and what was done to it on the way."""

    card: Card
    format: str  # as sniffed from the bytes: "png", "jpeg", ...
    applied: tuple[str, ...]  # of: exif_orientation, alpha_on_white, 16_bit_to_8, colour_to_rgb


def decode(data: bytes, formats: tuple[str, ...] = UPLOAD_FORMATS, max_pixels: int = MAX_PIXELS) -> Picture:
    """Read one still image as upright RGB on white.

    Raises BadCard for bytes that are empty, of another format, damaged or cut short, animated,
    larger than max_pixels or with a side below 8 pixels. Size is judged before a pixel is decoded.
    """
    with opened(io.BytesIO(data), formats, max_pixels) as image:
        image.load()
        return upright_rgb(image)


def upright_size(file: BinaryIO, formats: tuple[str, ...], max_pixels: int) -> tuple[int, int]:
    """Return the height and width that decode would give a file's image, without decoding a pixel.

    Raises BadCard as decode does, but for damage behind the header.
    """
    with opened(file, formats, max_pixels) as image:
        width, height = image.size
        # PNG's own getexif would decode the pixels, to look for a chunk behind them.
        sideways = Image.Image.getexif(image).get(ORIENTATION) in SIDEWAYS
        return (width, height) if sideways else (height, width)


@contextmanager
def opened(file: BinaryIO, formats: tuple[str, ...], max_pixels: int) -> Generator[Image.Image]:
    """Open one still image whose pixels may be decoded; whatever proves damaged about it is a BadCard."""
    try:
        image = Image.open(file, formats=formats)
    except BOMBS:
        raise BadCard("dimensions", f"The image has more than {max_pixels:,} pixels. Shrink it.") from None
    except UNREADABLE:
        raise unreadable(file, formats) from None
    with image:
        check_size(*image.size, max_pixels)
        try:
            if getattr(image, "is_animated", False):
                raise BadCard("animated", "The image is animated. Send one still frame.")
            yield image
        except UNREADABLE:
            raise BadCard("corrupt", DAMAGED) from None


def unreadable(file: BinaryIO, formats: tuple[str, ...]) -> BadCard:
    """Say by its first bytes why a file is no image."""
    file.seek(0)
    beginning = file.read(4)
    if not beginning:
        return BadCard("empty", "The file is empty. Send the image's bytes.")
    if beginning.startswith(BEGINNINGS):
        return BadCard("corrupt", DAMAGED)
    return BadCard("unsupported", f"The file is none of {', '.join(formats)}. Save it as one of them.")


def check_size(width: int, height: int, max_pixels: int) -> None:
    """Raise BadCard unless an image of this size may be decoded."""
    if width * height > max_pixels:
        raise BadCard(
            "dimensions", f"The image is {width}x{height}; at most {max_pixels:,} pixels are read. Shrink it."
        )
    if min(width, height) < MIN_SIDE:
        raise BadCard(
            "dimensions", f"The image is {width}x{height}; each side needs {MIN_SIDE} pixels or more."
        )


def upright_rgb(image: Image.Image) -> Picture:
    """Turn a loaded image the right way up, onto white, into 8-bit RGB."""
    applied: list[str] = []
    picture = image
    if image.getexif().get(ORIENTATION) in TURNED:
        picture = ImageOps.exif_transpose(image)
        applied.append("exif_orientation")
    if picture.mode.startswith("I;16") or picture.mode == "I":
        # convert("RGB") clips 16 bits to 255, so that every value above it turns white.
        grey = (np.asarray(picture) / 257).round().clip(0, 255).astype(np.uint8)
        picture = Image.fromarray(grey, "L")
        applied.append("16_bit_to_8")
    if picture.has_transparency_data:
        # convert("RGB") would show the colour hidden under the transparency.
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture)
        applied.append("alpha_on_white")
    elif picture.mode != "RGB":
        applied.append("colour_to_rgb")
    rgb = np.asarray(picture if picture.mode == "RGB" else picture.convert("RGB"))
    return Picture(rgb, (image.format or "").lower(), tuple(applied))


def fit(card: Card, height: int, width: int) -> Card:
    """Resize a card to (height, width, 3), antialiased; the aspect follows the new size."""
    if card.shape[:2] == (height, width):
        return card
    image = Image.fromarray(card)
    return np.asarray(image.resize((width, height), Image.Resampling.LANCZOS))


def encode(card: Card, format: Format = "png", quality: int = 90) -> bytes:
    """Write a card as image bytes; quality, 1 to 100, is for jpeg and webp."""
    file = io.BytesIO()
    image = Image.fromarray(card)
    if format == "png":
        # Level 1 is nearly as small as 6 on cards and faster: PNG is the dearest part of an answer.
        image.save(file, "PNG", compress_level=1)
    else:
        image.save(file, format.upper(), quality=quality)
    return file.getvalue()
