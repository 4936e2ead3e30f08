"""The pictures of a run's report, small enough to lie in its page."""

import base64
import io
import math
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

MOST_SAMPLES = 40
SAMPLES_BYTES = 3_500_000
"""Of all sample grids together; in the page they are a third larger."""
NEIGHBOURS_BYTES = 400_000
QUALITY = 75
BYTES_A_PIXEL = 0.28
"""Of a JPEG of cards at this quality, as seen: where it holds, a picture is encoded once."""
GROUND = (24, 26, 35)  # the panel's colour in page.css

Pixels = NDArray[np.uint8]


class Sample(NamedTuple):
    """A grid of cards, after so many images."""

    images: int
    picture: str


def samples(folder: Path) -> list[Sample]:
    """Return the grids of a run's samples/, the first, the last and evenly between them."""
    files = sorted(path for path in folder.glob("*.png") if path.stem.isdecimal())
    kept = np.linspace(0, len(files) - 1, min(MOST_SAMPLES, len(files))).round().astype(int)
    budget = SAMPLES_BYTES // max(1, len(kept))
    pictures = ((int(files[place].stem), sheet(files[place], budget)) for place in kept)
    return [Sample(images, picture) for images, picture in pictures if picture]


def sheet(path: Path, budget: int) -> str | None:
    """Return a sheet of cards on the page's ground; None if it cannot be read."""
    try:
        with Image.open(path) as image:
            pixels = np.array(image.convert("RGB"))
    except (OSError, ValueError):
        return None
    return small(mounted(pixels), budget)


def mounted(sheet: Pixels) -> Pixels:
    """Give a sheet (height, width, 3) of cards on white the page's ground: its gaps and its empty places."""
    white = (sheet[..., 0] & sheet[..., 1] & sheet[..., 2]) == 255
    gaps = white.all(axis=1), white.all(axis=0)
    for place in ((row, column) for row in parts(gaps[0]) for column in parts(gaps[1])):
        if white[place].all():
            sheet[place] = GROUND
    sheet[gaps[0]] = GROUND
    sheet[:, gaps[1]] = GROUND
    return sheet


def parts(gaps: NDArray[np.bool_]) -> list[slice]:
    """Return what lies between the gaps."""
    runs = (list(run) for gap, run in groupby(range(len(gaps)), lambda i: bool(gaps[i])) if not gap)
    return [slice(run[0], run[-1] + 1) for run in runs]


def small(pixels: Pixels, budget: int) -> str:
    """Return a picture (height, width, 3) as a JPEG of at most so many bytes, as large as that allows."""
    image = Image.fromarray(pixels)
    share = min(1.0, math.sqrt(budget / BYTES_A_PIXEL / (image.width * image.height)))
    while len(encoded := jpeg(image, share)) > budget:
        share *= 0.95 * math.sqrt(budget / len(encoded))
    return "data:image/jpeg;base64," + base64.b64encode(encoded).decode()


def jpeg(image: Image.Image, share: float) -> bytes:
    """Encode a picture with its sides at a share of what they are."""
    if share < 1:
        size = max(1, round(image.width * share)), max(1, round(image.height * share))
        image = image.resize(size, Image.Resampling.BOX)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=QUALITY)
    return file.getvalue()
