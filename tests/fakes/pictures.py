"""Picture files of every kind that people and attackers send."""

import base64
import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image

from serving.cards import MAX_PIXELS, UPLOAD_FORMATS, Picture, opened, upright_rgb

PNG = b"\x89PNG\r\n\x1a\n"
AFTER_IHDR = len(PNG) + 25


def plain(height: int = 20, width: int = 16, colour: tuple[int, int, int] = (200, 60, 30)) -> Image.Image:
    """One colour, with a dark upper left corner so that its orientation shows."""
    image = Image.new("RGB", (width, height), colour)
    image.paste((10, 10, 10), (0, 0, width // 2, height // 2))
    return image


def noisy(height: int, width: int) -> Image.Image:
    """Random pixels, which compress badly."""
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


def file(image: Image.Image, format: str = "PNG", **options: Any) -> bytes:
    """Write an image as a file."""
    data = io.BytesIO()
    image.save(data, format, **options)
    return data.getvalue()


def decode(data: bytes, formats: tuple[str, ...] = UPLOAD_FORMATS) -> Picture:
    """Read a file as an upright card of its own size, as training reads the pictures of a folder."""
    with opened(io.BytesIO(data), formats, MAX_PIXELS) as image:
        image.load()
        return upright_rgb(image)


def without_palette() -> bytes:
    """A palette PNG whose palette was lost."""
    data = file(plain().quantize(4))
    start = data.index(b"PLTE") - 4
    length = int.from_bytes(data[start : start + 4])
    return data[:start] + data[start + 12 + length :]


def turned(orientation: int, format: str = "JPEG") -> bytes:
    """A picture that says how a camera held it."""
    return file(plain(), format, exif=exif(orientation))


def exif(orientation: int) -> Image.Exif:
    """What a camera writes about how it was held."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def photograph(height: int, width: int, seed: int = 1) -> Image.Image:
    """Shapes and edges of every size, and a sensor's noise."""
    rng = np.random.default_rng(seed)
    picture = np.zeros((height, width, 3), np.float32)
    for cells in (3, 9, 40, 200):
        grid = Image.fromarray(rng.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
        picture += np.asarray(grid.resize((width, height), Image.Resampling.NEAREST)) / 4
    picture += rng.normal(0, 6, picture.shape)
    return Image.fromarray(picture.clip(0, 255).astype(np.uint8))


def animated(format: str) -> bytes:
    """Two frames."""
    return file(plain(), format, save_all=True, append_images=[plain(colour=(0, 0, 200))], duration=100)


def bomb(width: int = 10_000, height: int = 10_000) -> bytes:
    """A small PNG that declares 100 megapixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b""))
        + chunk(b"IEND", b"")
    )


def chunk(name: bytes, data: bytes) -> bytes:
    """One chunk of a PNG."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(colour_type: int, bits: int, rows: list[bytes], *extra: bytes) -> bytes:
    """A PNG of these rows, 16 pixels wide, with extra chunks before the pixels."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 16, len(rows), bits, colour_type, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows)))
    return PNG + header + b"".join(extra) + pixels + chunk(b"IEND", b"")


def with_chunks(data: bytes, *extra: bytes) -> bytes:
    """A PNG with more chunks before its pixels."""
    return data[:AFTER_IHDR] + b"".join(extra) + data[AFTER_IHDR:]


def text(keyword: bytes, value: bytes) -> bytes:
    """A compressed text in a PNG."""
    return chunk(b"zTXt", keyword + b"\0\0" + zlib.compress(value, 9))


def segment(marker: int, data: bytes) -> bytes:
    """One segment of a JPEG."""
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data


def with_segments(data: bytes, *extra: bytes) -> bytes:
    """A JPEG with more segments at its beginning."""
    return data[:2] + b"".join(extra) + data[2:]


def without_segment(data: bytes, marker: int) -> bytes:
    """A JPEG without the first segment of a kind."""
    start = data.index(bytes((0xFF, marker)))
    return data[:start] + data[start + 2 + int.from_bytes(data[start + 2 : start + 4]) :]


def endless_scans(count: int, side: int = 1000) -> bytes:
    """A progressive JPEG whose last scan, a few bytes, comes again and again: each goes over every pixel."""
    data = file(Image.new("L", (side, side), 77), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:last] + count * data[last:-2] + data[-2:]


def riff(*chunks: tuple[bytes, bytes], size: int | None = None, form: bytes = b"WEBP") -> bytes:
    """A RIFF file, a WebP unless told otherwise, which may lie about its size."""
    body = b"".join(
        name + struct.pack("<I", len(data)) + data + bytes(len(data) % 2) for name, data in chunks
    )
    return b"RIFF" + struct.pack("<I", len(body) + 4 if size is None else size) + form + body


def canvas(width: int, height: int, flags: int = 0) -> tuple[bytes, bytes]:
    """The chunk that says how large a WebP is."""
    return b"VP8X", struct.pack("<I", flags) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(
        3, "little"
    )


# plain(), by a JPEG encoder that codes arithmetically, which Pillow's does not.
ARITHMETIC = base64.b64decode(
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAMCAgMCAgMDAwMEAwMEBQgFBQQEBQoHBwYIDAoMDAsKCwsNDhIQDQ4RDgsLEBYQERMU"
    "FRUVDA8XGBYUGBIUFRT/2wBDAQMEBAUEBQkFBQkUDQsNFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQU"
    "FBQUFBQUFBT/yQARCAAUABADASIAAhEBAxEB/8wACgAQEAUBEBEF/9oADAMBAAIRAxEAPwD/AOz8dJWlkXvVMsp+ICVvTVGyoqET"
    "fTfdyu+Ep7IKln7gDHZbKdcbhzQIRk1OIQydWPV+ZHlhT6SuAmVQ+yAI/9k="
)


def interlaced(colour: tuple[int, int, int] = (200, 60, 30)) -> bytes:
    """A PNG of 20x16 in one colour, in Adam7's seven passes."""
    passes = (
        (0, 8, 0, 8),
        (0, 8, 4, 8),
        (4, 8, 0, 4),
        (0, 4, 2, 4),
        (2, 4, 0, 2),
        (0, 2, 1, 2),
        (1, 2, 0, 1),
    )
    rows = [
        b"\0" + bytes(colour) * len(range(left, 16, across))
        for top, down, left, across in passes
        for _ in range(top, 20, down)
    ]
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 16, 20, 8, 2, 0, 0, 1))
    return PNG + header + chunk(b"IDAT", zlib.compress(b"".join(rows))) + chunk(b"IEND", b"")


YCCK_MARK = (b"Adobe\0\x64\0\0\0\0\0", b"Adobe\0\x64\0\0\0\0\2")
"""Of CMYK, and of what Photoshop prefers."""


def ycck_planes() -> Image.Image:
    """plain() in inks, turned into Y, Cb, Cr and K, but still said to be inks."""
    *inks, black = plain().convert("CMYK").split()
    turned = Image.merge("RGB", inks).convert("YCbCr").split()
    # Pillow writes inks inverted, as Photoshop does.
    return Image.merge("CMYK", [*(plane.point(lambda level: 255 - level) for plane in turned), black])
