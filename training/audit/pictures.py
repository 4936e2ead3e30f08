"""What one decoding tells of a picture: at full size for prepare, reduced for an audit."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageStat

from serving.cards import FOLDER_FORMATS, FOLDER_MAX_PIXELS, BadCard, Card, fit, opened, upright_rgb
from training.audit.margins import Margins, margins
from training.folder import Skip

REDUCED = 128  # pixels of the longest side; margins are measured on it
SMALL = 64  # sides of the square that everything else is measured on
CELLS = 16  # sides of the layout
EDGE = 2  # outermost lines of the square, 3 % of a card: they show its border, never its picture
FLAT = 2.0  # standard deviation, of 255, below which a picture is one colour and the noise of a scan
NEUTRAL = 12  # levels between the strongest and the weakest channel, of which a JPEG makes a few
STRAY = 0.01  # share of a grey picture that may have colour all the same
TONES = (64, 192)  # grey levels between ink and paper
TONAL = 0.3  # share of them from which neutral is a grey photograph, and no black print on white
DEPTH_OF_PNG = 24  # where its header says how many bits a channel has


@dataclass(frozen=True)
class Stored:
    """How a file keeps its pixels."""

    format: str  # as Pillow names it: PNG, JPEG, ...
    mode: str  # Pillow's: RGB, L, CMYK, ...
    bits: int  # of a channel: 1, 2, 4, 8 or 16


@dataclass(frozen=True)
class Look:
    """One picture as an audit sees it; about 2 kB, so that 100,000 fit in memory."""

    name: str  # relative to the folder, with /
    size: tuple[int, int]  # height and width, upright
    stored: Stored
    transparent: bool  # some of it shows what is behind
    grey: bool  # a photograph or scan without colour
    margins: Margins
    content: bytes  # the same for the same pixels
    print: NDArray[np.uint64]  # (4,): 256 bits, of which like pictures share most
    layout: NDArray[np.uint8]  # (16, 16, 3)
    border: NDArray[np.uint8]  # (48,): brightness of the outermost 3 %, twelve places a side


def look_at(folder: Path, name: str, size: tuple[int, int], reduced: bool) -> tuple[Card, Look] | Skip:
    """Decode a picture and learn what can be learnt; reduced decodes large JPEGs smaller, and so faster.

    Returns the upright card and the look at it, or why the picture is of no use.
    """
    try:
        with (folder / name).open("rb") as file, opened(file, FOLDER_FORMATS, FOLDER_MAX_PIXELS) as image:
            stored = stored_as(image, file)
            if reduced:
                image.draft(None, (REDUCED, REDUCED))
            image.load()
            see_through = is_transparent(image)
            card = upright_rgb(image).card
    except BadCard as bad:
        return Skip(name, bad.code, str(bad))
    except OSError as error:
        return Skip(name, "corrupt", f"The file cannot be read: {error.strerror}.")
    square, nearby = reductions(card)
    small = np.asarray(square)
    if max(ImageStat.Stat(square).stddev) < FLAT:
        return Skip(name, "flat", "It shows nothing but one colour.")
    return card, Look(
        name=name,
        size=size,
        stored=stored,
        transparent=see_through,
        grey=is_grey(small),
        margins=margins(nearby),
        content=hashlib.blake2b(small.tobytes(), digest_size=16).digest(),
        print=np.packbits(imagehash.phash(square, hash_size=16).hash).view(np.uint64),
        layout=fit(small, CELLS, CELLS),
        border=border_of(small),
    )


def reductions(card: Card) -> tuple[Image.Image, Card]:
    """Return a card squeezed into the small square, and one of at most 128 pixels a side."""
    image = Image.fromarray(card)
    if max(image.size) > REDUCED:
        image.thumbnail((REDUCED, REDUCED), Image.Resampling.BICUBIC, reducing_gap=2.0)
    return image.resize((SMALL, SMALL), Image.Resampling.BICUBIC), np.asarray(image)


def stored_as(image: Image.Image, file: BinaryIO) -> Stored:
    """Tell how an opened image's file keeps its pixels; Pillow itself hides the 16 bits of a colour PNG."""
    bits = {"1": 1, "I": 16, "I;16": 16, "I;16B": 16}.get(image.mode, 8)
    if image.format == "PNG":
        place = file.tell()
        file.seek(DEPTH_OF_PNG)
        bits = file.read(1)[0]
        file.seek(place)
    return Stored(image.format or "", image.mode, bits)


def is_transparent(image: Image.Image) -> bool:
    """Tell whether a loaded image shows anywhere what is behind it."""
    if not image.has_transparency_data:
        return False
    with_alpha = image if "A" in image.getbands() else image.convert("RGBA")
    lowest, _ = with_alpha.getchannel("A").getextrema()
    return isinstance(lowest, int | float) and lowest < 255


def is_grey(small: Card) -> bool:
    """Tell whether a card has many tones and no colour; black print on white paper has few tones."""
    red, green, blue = np.moveaxis(small, 2, 0)
    strongest, weakest = np.maximum(np.maximum(red, green), blue), np.minimum(np.minimum(red, green), blue)
    if (strongest - weakest > NEUTRAL).mean() > STRAY:
        return False
    return bool(((green > TONES[0]) & (green < TONES[1])).mean() > TONAL)


def border_of(small: Card) -> NDArray[np.uint8]:
    """Return the brightness along the four outermost edges, without the corners, which may be round."""
    light = small.mean(axis=2)
    edges = [light[:EDGE], light[-EDGE:], light[:, :EDGE].T, light[:, -EDGE:].T]
    places = [edge.mean(axis=0).reshape(CELLS, -1).mean(axis=1)[2:-2] for edge in edges]
    return np.concatenate(places).round().astype(np.uint8)
