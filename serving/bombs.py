"""Picture files that are small to send but take minutes or hours to decode: found by counting their pieces.

Pillow reads the pieces of a header one by one in Python and concatenates some of them, and libjpeg goes over
the whole picture once for each scan. 8 MB of the smallest pieces take minutes, of the smallest scans hours.
"""

import re
import struct

SEGMENTS = 500
"""Of a JPEG, stray bytes before its pixels included. Cameras write about ten; 2 MB of EXIF have 32."""
SCANS = 30
"""Of a JPEG. Progressive ones have about ten."""
CHUNKS = 10_000
"""Of a PNG. Encoders cut pixels into 8 KiB or more: a thousand in 8 MB."""
TEXTS = 20
"""Compressed texts in a PNG, each of which Pillow inflates to up to 1 MiB."""

MARKER = re.compile(rb"\xff([^\x00\xd0-\xd7\xff])", re.DOTALL)  # of a JPEG, but for those among coded pixels
WINDOW = 64 * 1024  # bytes searched at once: a search holds the interpreter's lock
START_OF_SCAN, END = 0xDA, 0xD9
WITHOUT_LENGTH = (0x01, 0xD8, END)


def is_bomb(data: bytes) -> bool:
    """Tell whether a PNG or JPEG has more pieces than encoders write, in a few milliseconds at most."""
    if data.startswith(b"\xff\xd8"):
        return is_endless_jpeg(data)
    return data.startswith(b"\x89PNG") and is_endless_png(data)


def is_endless_jpeg(data: bytes) -> bool:
    """Tell whether a JPEG has more than SEGMENTS or SCANS up to its end; phones append films after that."""
    place, segments, scans = 2, 0, 0
    while place < len(data) and segments <= SEGMENTS and scans <= SCANS:
        found = MARKER.search(data, place, place + WINDOW)
        stray = (found.start() if found else min(place + WINDOW, len(data))) - place
        segments += 0 if scans else stray
        if found is None:
            place += WINDOW - 1
            continue
        marker = found[1][0]
        if scans and marker == END:
            return False
        segments += 1
        scans += marker == START_OF_SCAN
        place = found.end()
        if marker not in WITHOUT_LENGTH:
            place += int.from_bytes(data[place : place + 2])
    return segments > SEGMENTS or scans > SCANS


def is_endless_png(data: bytes) -> bool:
    """Tell whether a PNG has more than CHUNKS, or more than TEXTS compressed texts."""
    place, chunks, texts = 8, 0, 0
    while place + 8 <= len(data) and chunks <= CHUNKS and texts <= TEXTS:
        length, name = struct.unpack_from(">I4s", data, place)
        place += 12 + length
        chunks += 1
        texts += name in (b"zTXt", b"iTXt")
    return chunks > CHUNKS or texts > TEXTS
