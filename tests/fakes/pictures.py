"""Picture files of every kind that people and attackers send."""

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image


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


def without_palette() -> bytes:
    """A palette PNG whose palette was lost."""
    data = file(plain().quantize(4))
    start = data.index(b"PLTE") - 4
    length = int.from_bytes(data[start : start + 4])
    return data[:start] + data[start + 12 + length :]


def turned(orientation: int, format: str = "JPEG") -> bytes:
    """A picture that says how a camera held it."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return file(plain(), format, exif=exif)


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
