"""ICC profiles of version 2, as small as can be: of wide RGB, of grey, of a printing press."""

import struct
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import ImageCms

D50 = (0.9642, 1.0, 0.8249)
GAMMA = 2.2
DISPLAY_P3 = ((0.5151, 0.2412, -0.0011), (0.2919, 0.6922, 0.0419), (0.1572, 0.0666, 0.7841))  # XYZ of R, G, B
SRGB = ((0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141))
INKS = {"C": (55, -37, -50), "M": (48, 74, -3), "Y": (89, -5, 93), "K": (16, 0, 0)}  # Lab on white paper


def rgb(primaries: tuple[tuple[float, float, float], ...] = DISPLAY_P3, gamma: float = GAMMA) -> bytes:
    """A screen's: three primaries and one curve."""
    colours = {f"{name}XYZ": xyz(values) for name, values in zip("rgb", primaries, strict=True)}
    curves = {f"{name}TRC": curve(gamma) for name in "rgb"}
    return profile("mntr", "RGB ", "XYZ ", {"wtpt": xyz(D50), **colours, **curves})


def srgb() -> bytes:
    """sRGB itself, as Pillow makes it."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def grey(gamma: float = GAMMA) -> bytes:
    """A grey scanner's: one curve."""
    return profile("mntr", "GRAY", "XYZ ", {"wtpt": xyz(D50), "kTRC": curve(gamma)})


def cmyk() -> bytes:
    """A press: the colours of all 16 ways to lay full inks over each other, and straight lines between."""
    straight = bytes(range(256))
    corners = b"".join(lab(inks(corner)) for corner in np.ndindex(2, 2, 2, 2))
    matrix = b"".join(fixed(value) for value in (1, 0, 0, 0, 1, 0, 0, 0, 1))
    table = b"mft1\0\0\0\0" + bytes((4, 3, 2, 0)) + matrix + 4 * straight + corners + 3 * straight
    return profile("prtr", "CMYK", "Lab ", {"wtpt": xyz(D50), "A2B0": table})


def inks(corner: tuple[int, ...]) -> tuple[float, float, float]:
    """Lab of full inks on top of each other: the darkest, tinted by all."""
    laid = [np.array(colour) for colour, there in zip(INKS.values(), corner, strict=True) if there]
    if not laid:
        return 100, 0, 0
    light = 100 * np.prod([colour[0] / 100 for colour in laid])
    tint = np.sum([colour[1:] for colour in laid], axis=0) * (0.1 if corner[3] else 1)
    return float(light), float(tint[0]), float(tint[1])


def screen_to_srgb(colour: tuple[int, int, int]) -> NDArray[np.float64]:
    """What a colour of rgb()'s is in sRGB, computed from the definitions."""
    linear = (np.array(colour) / 255) ** GAMMA
    straight = (linear @ np.array(DISPLAY_P3) @ np.linalg.inv(np.array(SRGB))).clip(0, 1)
    return 255 * np.where(straight <= 0.0031308, 12.92 * straight, 1.055 * straight ** (1 / 2.4) - 0.055)


def profile(kind: str, colours: str, space: str, tags: Mapping[str, bytes]) -> bytes:
    """A header of 128 bytes, the table of tags, and the tags."""
    start = 128 + 4 + 12 * len(tags)
    table, body = struct.pack(">I", len(tags)), b""
    for name, data in tags.items():
        table += struct.pack(">4sII", name.encode(), start + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    head = struct.pack(
        ">I4sI4s4s4s", start + len(body), b"lcms", 0x02400000, *map(str.encode, (kind, colours, space))
    )
    head += struct.pack(">6H4s", 2026, 1, 1, 0, 0, 0, b"acsp") + bytes(28) + xyz(D50)[8:]
    return head.ljust(128, b"\0") + table + body


def fixed(value: float) -> bytes:
    return struct.pack(">i", round(value * 65536))


def xyz(values: tuple[float, float, float]) -> bytes:
    return b"XYZ \0\0\0\0" + b"".join(map(fixed, values))


def curve(gamma: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"


def lab(values: tuple[float, float, float]) -> bytes:
    light, a, b = values
    return bytes(np.clip((light * 2.55, a + 128, b + 128), 0, 255).round().astype(int).tolist())
