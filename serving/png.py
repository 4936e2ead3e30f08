"""Cards as PNG files (ISO/IEC 15948), written for speed: PNG is the dearest part of an answer.

Pillow tries five filters on every row, which takes longer than to pack it; here every pixel is stored as its
difference from the one on its left. tests/benchmarks/encoding.py compares time and size.
"""

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

SIGNATURE = b"\x89PNG\r\n\x1a\n"
DEEP, RGB = 8, 2  # bits a channel, and the colour type
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
    return SIGNATURE + chunk(b"IHDR", header) + chunk(b"IDAT", packed(lines.data)) + chunk(b"IEND", b"")


def packed(lines: memoryview) -> bytes:
    """Compress with the search for runs alone: any other finds little more and takes far longer."""
    packer = zlib.compressobj(level=1, memLevel=9, strategy=zlib.Z_RLE)
    return packer.compress(lines) + packer.flush()


def chunk(name: bytes, data: bytes) -> bytes:
    """Write one chunk: its length, name, data and checksum."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(name)))
