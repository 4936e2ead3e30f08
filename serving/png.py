"""Cards as PNG files (ISO/IEC 15948), written for speed: PNG is the most expensive part of an answer.

Pillow tries five filters on every row, which takes longer than compressing it. Here every pixel is stored as
its difference from the one on its left, and compressed by ISA-L. tests/benchmarks/encoding.py compares time
and size.
"""

import struct
import zlib

import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

SIGNATURE = b"\x89PNG\r\n\x1a\n"
DEEP, RGB = 8, 2  # bits a channel, and the colour type
LEVEL = 1  # of 0 to 3; higher ones save nothing more on cards, 0 leaves a third more bytes
SUB = 1  # the filter: each byte minus the one of the same channel on its left


def encode(card: NDArray[np.uint8]) -> bytes:
    """Write a card, uint8 (height, width, 3); the same pixels always give the same bytes."""
    height, width, channels = card.shape
    header = struct.pack(">IIBBBBB", width, height, DEEP, RGB, 0, 0, 0)
    rows = card.reshape(height, width * channels)
    lines = np.empty((height, 1 + width * channels), np.uint8)
    lines[:, 0] = SUB
    lines[:, 1 : 1 + channels] = rows[:, :channels]
    np.subtract(rows[:, channels:], rows[:, :-channels], out=lines[:, 1 + channels :])
    packed = isal_zlib.compress(lines.data, LEVEL)  # pyright: ignore[reportUnknownMemberType]
    return SIGNATURE + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def chunk(name: bytes, data: bytes) -> bytes:
    """Write one chunk: its length, name, data and checksum."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(name)))
