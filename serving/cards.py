"""The one door for pixels: image bytes become upright RGB cards here, and cards become image bytes.

Uploads and training images are opened, set upright and fitted alike, so that a score never suffers
from another resize, orientation, alpha or colour rule than training had.
"""

import io
import struct
import zlib
from collections.abc import Generator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from threading import Lock
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageFile

from serving import png
from serving.bombs import is_bomb

Card = NDArray[np.uint8]  # (height, width, 3), upright RGB
Format = Literal["png", "jpeg", "webp"]

UPLOAD_FORMATS = ("PNG", "JPEG", "WEBP")
FOLDER_FORMATS = (*UPLOAD_FORMATS, "BMP", "GIF")

MAX_PIXELS = 16_000_000
FOLDER_MAX_PIXELS = 89_000_000  # scans and photographs of one's own; above, Pillow warns of a bomb
MIN_SIDE = 8

LARGE = 4_000_000  # pixels
ONE_LARGE = Lock()  # an upload of 16 megapixels takes up to 400 MB while it is decoded
SPARE = 4  # times a card's sides that a JPEG decoded smaller still has

MAX_PROFILE = 4 * 1024 * 1024  # bytes; those of printing presses have up to 3 MB
SAME = 2  # levels; a profile that moves no colour further is sRGB under another name
CMS: Any = ImageCms  # some of it has no types
PROFILE_FAULTS = (ImageCms.PyCMSError, OSError, TypeError, ValueError)

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
    OverflowError,
    struct.error,
    zlib.error,
)

# Pillow warns above 89 megapixels and raises above 179; whoever turns warnings into errors sees both raised.
BOMBS = (Image.DecompressionBombError, Image.DecompressionBombWarning)

# Of files that were PNG, JPEG or WebP before something happened to them.
BEGINNINGS = (b"\x89PNG", b"\xff\xd8\xff", b"RIFF")
DAMAGED = "The image is damaged or cut short. Save or download it again."

ORIENTATION = 0x0112  # the EXIF tag
SIDEWAYS = range(5, 9)  # its values that exchange height and width
TURNS = {  # what sets a picture upright, by its orientation
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

DEEP = "holofoil_deep"  # marks in Image.info that channels had 16 bits, which Pillow does not tell

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
    size: tuple[int, int]  # height and width of the file, upright
    applied: tuple[str, ...]
    """Of these, in this order: decoded_smaller, first_picture, exif_orientation, 16_bit_to_8, alpha_on_white,
    profile_to_srgb or profile_ignored, colour_to_rgb, resize."""


def decode_upload(data: bytes, height: int, width: int) -> Picture:
    """Read one still image from a stranger as a card of (height, width), fitted as training pictures are.

    A JPEG with many times the card's pixels is decoded smaller, to no less than SPARE times its sides: that
    is faster by far, and the card hardly differs. Raises BadCard as opened does, and for bombs.
    """
    if is_bomb(data):
        raise BadCard("corrupt", "The image is made of too many pieces. Save it again with another program.")
    with opened(io.BytesIO(data), UPLOAD_FORMATS, MAX_PIXELS) as image:
        stored = image.size
        applied = ["decoded_smaller"] if draft(image, height, width) else []
        # Of a progressive JPEG all coefficients are held, however small it is decoded.
        width_read, height_read = stored if "progressive" in image.info else image.size
        with ONE_LARGE if width_read * height_read > LARGE else nullcontext():
            image.load()
            picture, done = upright(image)
            applied += done
            if picture.size != (width, height):
                picture = picture.resize((width, height), Image.Resampling.LANCZOS)
        size = turned_size(image, stored)
        if size != (height, width):
            applied.append("resize")
        return Picture(np.asarray(picture), format_of(image), size, tuple(applied))


def draft(image: ImageFile.ImageFile, height: int, width: int) -> bool:
    """Have an opened JPEG decoded to 1/2, 1/4 or 1/8 of its sides, and tell whether it is large enough."""
    if orientation(image) in SIDEWAYS:
        height, width = width, height
    stored = image.size
    image.draft(None, (SPARE * width, SPARE * height))
    return image.size != stored


def upright_size(file: BinaryIO, formats: tuple[str, ...], max_pixels: int) -> tuple[int, int]:
    """Return the height and width of a file's image once it is upright, without decoding a pixel.

    Raises BadCard as opened does, but for damage behind the header.
    """
    with opened(file, formats, max_pixels) as image:
        return turned_size(image, image.size)


def turned_size(image: Image.Image, stored: tuple[int, int]) -> tuple[int, int]:
    """Return the height and width of an upright image that was stored with this width and height."""
    width, height = stored
    return (width, height) if orientation(image) in SIDEWAYS else (height, width)


def orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 where there is none that can be read."""
    try:
        # PNG's own getexif would decode the pixels, to look for a chunk behind them.
        return Image.Image.getexif(image).get(ORIENTATION, 1)
    except UNREADABLE:
        return 1


def format_of(image: Image.Image) -> str:
    """Return what people call an image's format."""
    return {"MPO": "jpeg"}.get(image.format or "", (image.format or "").lower())


@contextmanager
def opened(file: BinaryIO, formats: tuple[str, ...], max_pixels: int) -> Generator[ImageFile.ImageFile]:
    """Open one still image whose pixels may be decoded; whatever proves damaged about it is a BadCard.

    Raises BadCard for a file that is empty, of another format, damaged or cut short, animated, larger than
    max_pixels or with a side below 8 pixels. Size is judged before a pixel is decoded.
    """
    try:
        image = Image.open(file, formats=formats)
    except BOMBS:
        raise BadCard("dimensions", f"The image has more than {max_pixels:,} pixels. Shrink it.") from None
    except UNREADABLE:
        raise unreadable(file, formats) from None
    with image:
        check_size(*image.size, max_pixels)
        try:
            # Phones write JPEGs with further pictures behind the one that was taken.
            if image.format != "MPO" and getattr(image, "is_animated", False):
                raise BadCard("animated", "The image is animated. Send one still frame.")
            note_depth(image)
            yield image
        except UNREADABLE:
            raise BadCard("corrupt", DAMAGED) from None


def unreadable(file: BinaryIO, formats: tuple[str, ...]) -> BadCard:
    """Say by its first bytes why a file is no image."""
    file.seek(0)
    beginning = file.read(4)
    if not beginning:
        return BadCard("empty", "The file is empty: there is no image in it.")
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


def note_depth(image: ImageFile.ImageFile) -> None:
    """Note in an opened image whether its file has 16 bits a channel; of colours Pillow reads the upper 8."""
    mode = image.tile[0].args if image.tile else None
    image.info[DEEP] = image.mode.startswith("I") or (isinstance(mode, str) and mode.endswith(";16B"))
    if image.info[DEEP] and image.mode == "RGB" and "transparency" in image.info:
        red, green, blue = image.info["transparency"]
        image.info["transparency"] = red >> 8, green >> 8, blue >> 8


def upright_rgb(image: Image.Image) -> Picture:
    """Turn a loaded image the right way up, onto white, into 8-bit sRGB."""
    picture, applied = upright(image)
    card = np.asarray(picture)
    return Picture(card, format_of(image), card.shape[:2], tuple(applied))


def upright(image: Image.Image) -> tuple[Image.Image, list[str]]:
    """Return a loaded image as upright sRGB on white in 8 bits, and what was done to it."""
    applied = ["first_picture"] if image.format == "MPO" else []
    picture = image
    if (turn := TURNS.get(orientation(image))) is not None:
        picture = picture.transpose(turn)
        applied.append("exif_orientation")
    if image.info.get(DEEP, image.mode.startswith("I")):  # not noted where others opened it
        picture = in_8_bits(picture)
        applied.append("16_bit_to_8")
    if picture.has_transparency_data:
        picture = on_white(picture)
        applied.append("alpha_on_white")
    if profile := image.info.get("icc_profile"):
        picture, done = in_srgb(picture, profile)
        applied += done
    if picture.mode != "RGB":
        picture = picture.convert("RGB")
        applied.append("colour_to_rgb")
    return picture, applied


def in_8_bits(image: Image.Image) -> Image.Image:
    """Return an image of 16 bits in L or LA; those of other modes have 8 already.

    convert would clip 16 bits to 255, so that every value above it turns white.
    """
    if not image.mode.startswith("I"):
        return image
    values = np.asarray(image).clip(0, 65535)
    grey = Image.fromarray((np.arange(65536) / 257).round().astype(np.uint8)[values])
    if (transparent := image.info.get("transparency")) is not None:
        grey.putalpha(Image.fromarray(np.where(values == transparent, 0, 255).astype(np.uint8)))
    return grey


def on_white(image: Image.Image) -> Image.Image:
    """Return a transparent image on white, in L or RGB; convert would show the colours that are hidden."""
    mode = "L" if image.mode in ("L", "LA") else "RGB"
    with_alpha = image if image.mode in ("LA", "RGBA") else image.convert(mode + "A")
    white = Image.new(mode, image.size, "white")
    white.paste(with_alpha, mask=with_alpha.getchannel("A"))
    return white


def in_srgb(image: Image.Image, profile: bytes) -> tuple[Image.Image, list[str]]:
    """Translate an image's colours by its ICC profile into sRGB, and say whether that was done.

    Nothing is done where the profile is sRGB itself; one that is broken, or speaks of other colours than the
    image has, is ignored, as browsers do.
    """
    coloured = image.convert("RGB") if image.mode == "P" else image
    try:
        if len(profile) > MAX_PROFILE:
            raise ValueError("a profile of this size")
        source, srgb = CMS.ImageCmsProfile(io.BytesIO(profile)), CMS.createProfile("sRGB")
        transform = CMS.buildTransform(source, srgb, coloured.mode, "RGB")
        if coloured.mode != "CMYK" and moves(transform, coloured.mode) <= SAME:
            return image, []
        return CMS.applyTransform(coloured, transform), ["profile_to_srgb"]
    except PROFILE_FAULTS:
        return image, ["profile_ignored"]


def moves(transform: ImageCms.ImageCmsTransform, mode: str) -> int:
    """Return by how many levels a transform into RGB moves a colour of L or RGB at most, of 216 tried."""
    levels = np.arange(0, 256, 51, dtype=np.uint8)
    colours = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(1, -1, 3)
    swatch = Image.fromarray(colours).convert(mode)
    moved = CMS.applyTransform(swatch, transform)
    return int(np.abs(np.asarray(moved).astype(int) - np.asarray(swatch.convert("RGB"))).max())


def fit(card: Card, height: int, width: int) -> Card:
    """Resize a card to (height, width, 3), antialiased; the aspect follows the new size."""
    if card.shape[:2] == (height, width):
        return card
    image = Image.fromarray(card)
    return np.asarray(image.resize((width, height), Image.Resampling.LANCZOS))


def encode(card: Card, format: Format = "png", quality: int = 90) -> bytes:
    """Write a card as image bytes; quality, 1 to 100, is for jpeg and webp."""
    if format == "png":
        return png.encode(card)
    file = io.BytesIO()
    Image.fromarray(card).save(file, format.upper(), quality=quality)
    return file.getvalue()
