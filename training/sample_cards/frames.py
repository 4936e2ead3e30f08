"""The frames of the sample cards: elements, rarities, and the layouts that say where each part sits."""

from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
from PIL import Image, ImageChops, ImageDraw

from training.sample_cards.grounds import Colour, smooth_noise

WIDTH, HEIGHT = 320, 448
Box = tuple[int, int, int, int]  # left, top, right, bottom, in pixels

# Frames are drawn at twice the size and shrunk, which smooths their edges.
OVERSAMPLING = 2


@dataclass(frozen=True)
class Element:
    """One of the seven powers of the game and its colours."""

    name: str
    frame: Colour
    dark: Colour
    paper: Colour
    orb: Colour


ELEMENTS = (
    Element("ember", (206, 58, 40), (92, 16, 18), (252, 228, 206), (255, 120, 60)),
    Element("tide", (40, 104, 200), (12, 34, 92), (218, 234, 250), (70, 160, 255)),
    Element("grove", (52, 142, 66), (14, 58, 30), (226, 242, 212), (104, 204, 90)),
    Element("dusk", (112, 62, 160), (40, 18, 68), (234, 222, 244), (176, 104, 236)),
    Element("dawn", (236, 190, 70), (124, 78, 16), (255, 248, 222), (255, 226, 110)),
    Element("stone", (150, 104, 66), (66, 40, 24), (242, 228, 208), (206, 150, 96)),
    Element("frost", (120, 196, 216), (28, 84, 112), (236, 248, 252), (172, 236, 250)),
)

STEEL = Element("steel", (150, 158, 170), (48, 54, 66), (232, 235, 240), (200, 206, 216))


@dataclass(frozen=True)
class Rarity:
    """How rare a card is, told by the colour of its mark."""

    name: str
    mark: Colour
    share: float


RARITIES = (
    Rarity("common", (34, 34, 40), 0.5),
    Rarity("uncommon", (190, 204, 222), 0.28),
    Rarity("rare", (246, 200, 66), 0.15),
    Rarity("mythic", (255, 96, 40), 0.07),
)


@dataclass(frozen=True)
class Layout:
    """Where the parts of one kind of card sit.

    Boxes lie on multiples of 8, so that they stay sharp when a card is shrunk to 40x56.
    """

    name: str
    share: float
    title: Box
    art: Box
    type_line: Box
    text: Box
    strength: Box | None = None
    corners: str = "square"  # of the art window: square, arch, cut
    glass: bool = False  # art fills the frame, panels lie over it
    steel: bool = False  # frame of steel, the element only in the panels' edges
    night: bool = False  # light text on a dark text box


LAYOUTS = (
    Layout("creature", 0.42, (16, 16, 304, 56), (24, 64, 296, 248), (16, 256, 304, 288), (24, 296, 296, 424),
           strength=(216, 400, 304, 440)),
    Layout("spell", 0.2, (16, 16, 304, 56), (24, 64, 296, 232), (16, 240, 304, 272), (24, 280, 296, 432),
           corners="arch"),
    Layout("relic", 0.12, (16, 16, 304, 56), (24, 64, 296, 264), (16, 272, 304, 304), (24, 312, 296, 424),
           strength=(16, 400, 80, 440), corners="cut", steel=True),
    Layout("place", 0.13, (16, 16, 304, 56), (16, 16, 304, 432), (16, 304, 304, 336), (24, 344, 296, 424),
           glass=True),
    Layout("champion", 0.13, (16, 16, 304, 56), (16, 16, 304, 432), (16, 280, 304, 312), (24, 320, 296, 424),
           strength=(216, 400, 304, 440), glass=True, night=True),
)  # fmt: skip


def mixed(a: Colour, b: Colour, share: float) -> Colour:
    """Return the colour that is `share` of b and the rest a."""
    red, green, blue = (round(x * (1 - share) + y * share) for x, y in zip(a, b, strict=True))
    return red, green, blue


def larger(box: Box, by: int = 0) -> Box:
    """Return a box grown by some pixels, at the oversampled size, its right and lower edge included."""
    left, top, right, bottom = box
    zoom = OVERSAMPLING
    return (left - by) * zoom, (top - by) * zoom, (right + by) * zoom - 1, (bottom + by) * zoom - 1


def slab(seed: int, top: Colour, bottom: Colour, grain: float) -> Image.Image:
    """Return a card-sized plane: a gradient from top to bottom with a mottled grain, in grey levels."""
    down = np.linspace(0, 1, HEIGHT, dtype=np.float32)[:, None, None]
    plane = np.array(top, np.float32) * (1 - down) + np.array(bottom, np.float32) * down
    rng = np.random.default_rng(seed)
    spots = smooth_noise(rng, HEIGHT, WIDTH, 20) + 0.6 * smooth_noise(rng, HEIGHT, WIDTH, 5) - 0.8
    small = Image.fromarray((plane + grain * spots[..., None]).clip(0, 255).astype(np.uint8))
    return small.resize((WIDTH * OVERSAMPLING, HEIGHT * OVERSAMPLING))


def window_mask(layout: Layout) -> Image.Image:
    """Return where the art shows, L, at the oversampled size."""
    mask = Image.new("L", (WIDTH * OVERSAMPLING, HEIGHT * OVERSAMPLING))
    draw = ImageDraw.Draw(mask)
    left, top, right, bottom = larger(layout.art)
    if layout.corners == "arch":
        draw.rounded_rectangle(
            (left, top, right, bottom), 64 * OVERSAMPLING, 255, corners=(True, True, False, False)
        )
    elif layout.corners == "cut":
        cut = 32 * OVERSAMPLING
        draw.polygon(
            [(left + cut, top), (right - cut, top), (right, top + cut), (right, bottom - cut),
             (right - cut, bottom), (left + cut, bottom), (left, bottom - cut), (left, top + cut)],
            255,
        )  # fmt: skip
    else:
        draw.rectangle((left, top, right, bottom), 255)
    return mask


def panel(
    frame: Image.Image, box: Box, paper: Image.Image, edge: Colour, radius: int, opacity: int = 255
) -> None:
    """Lay a bevelled panel of paper on the frame, with a dark edge and a light upper rim."""
    mask = Image.new("L", frame.size)
    draw = ImageDraw.Draw(mask)
    draw.rounded_rectangle(larger(box, 2), (radius + 2) * OVERSAMPLING, 255)
    frame.paste(edge, mask=mask)
    mask.paste(0, (0, 0, *mask.size))
    draw.rounded_rectangle(larger(box), radius * OVERSAMPLING, 255)
    sheet = paper.copy()
    sheet.putalpha(opacity)
    frame.paste(sheet, mask=mask)
    rim = ImageChops.subtract(mask, ImageChops.offset(mask, 0, 2 * OVERSAMPLING))
    frame.paste((255, 255, 255, opacity), mask=rim.point([level * 5 // 8 for level in range(256)]))


def moulding(frame: Image.Image, layout: Layout, metal: Element) -> None:
    """Cut the window for the art, with a dark edge and a light line around it."""
    hole = window_mask(layout)
    for grow, shade in (
        (5, mixed(metal.frame, (255, 255, 255), 0.55)),
        (3, mixed(metal.dark, (0, 0, 0), 0.5)),
    ):
        wide = hole.resize(hole.size, box=shrunk_box(hole.size, layout.art, grow))
        frame.paste((*shade, 255), mask=wide)
    clear = Image.new("RGBA", frame.size, (0, 0, 0, 0))
    frame.paste(clear, mask=hole)


def shrunk_box(size: tuple[int, int], art: Box, grow: int) -> tuple[float, float, float, float]:
    """Return the part of an image that, blown up to the whole, makes the window `grow` pixels larger."""
    left, top, right, bottom = (side * OVERSAMPLING for side in art)
    across = (right - left) / (right - left + 2 * grow * OVERSAMPLING)
    down = (bottom - top) / (bottom - top + 2 * grow * OVERSAMPLING)
    x, y = (left + right) / 2, (top + bottom) / 2
    return x * (1 - across), y * (1 - down), x + (size[0] - x) * across, y + (size[1] - y) * down


@cache  # 5 layouts x 7 elements of half a megabyte
def frame_of(layout: Layout, element: Element) -> Image.Image:
    """Return the empty frame, RGBA of the card's size, transparent where the art shows."""
    metal = STEEL if layout.steel else element
    night = mixed(element.dark, (0, 0, 0), 0.72)
    paper = slab(7, mixed(element.paper, (255, 255, 255), 0.25), element.paper, 14)
    frame = slab(3, mixed(metal.frame, (255, 255, 255), 0.22), mixed(metal.frame, metal.dark, 0.45), 26)
    frame = frame.convert("RGBA")
    moulding(frame, layout, metal)
    edge = mixed(element.dark, (0, 0, 0), 0.25)
    if layout.night:
        panel(
            frame,
            layout.text,
            slab(5, mixed(element.dark, (0, 0, 0), 0.4), element.dark, 10),
            element.orb,
            4,
            222,
        )
    else:
        panel(frame, layout.text, paper, edge, 4, 240 if layout.glass else 255)
    panel(frame, layout.title, paper, edge, 14)
    panel(frame, layout.type_line, paper, edge, 10)
    if layout.strength:
        panel(
            frame,
            layout.strength,
            slab(5, element.dark, element.dark, 10),
            mixed(element.orb, (255, 255, 255), 0.5),
            12,
        )
    draw = ImageDraw.Draw(frame)
    draw.rectangle(larger((0, 0, WIDTH, HEIGHT)), outline=night, width=8 * OVERSAMPLING)
    draw.rectangle(
        larger((8, 8, WIDTH - 8, HEIGHT - 8)),
        outline=mixed(metal.frame, (255, 255, 255), 0.5),
        width=OVERSAMPLING,
    )
    return frame.resize((WIDTH, HEIGHT), Image.Resampling.BOX)


@lru_cache
def orb_of(element: Element) -> Image.Image:
    """Return the orb that carries the cost, RGBA 56x56: a lit ball in a dark ring."""
    size, ring = 56 * OVERSAMPLING, 5 * OVERSAMPLING
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    lit = (1.1 - np.hypot(x + 0.3, y + 0.35)).clip(0, 1)[..., None]
    ball = np.array(element.orb, np.float32) * (0.55 + 0.5 * lit) + 90 * lit**3
    orb = Image.new("RGBA", (size, size), (0, 0, 0, 0))
    ImageDraw.Draw(orb).ellipse((0, 0, size - 1, size - 1), fill=mixed(element.dark, (0, 0, 0), 0.4))
    mask = Image.new("L", (size, size))
    ImageDraw.Draw(mask).ellipse((ring, ring, size - 1 - ring, size - 1 - ring), fill=255)
    orb.paste(Image.fromarray(ball.clip(0, 255).astype(np.uint8)), mask=mask)
    return orb.resize((56, 56), Image.Resampling.BOX)


@lru_cache
def mark_of(rarity: Rarity) -> Image.Image:
    """Return the mark of a rarity, RGBA 24x24: a cut stone."""
    size = 24 * OVERSAMPLING
    mark = Image.new("RGBA", (size, size), (0, 0, 0, 0))
    draw = ImageDraw.Draw(mark)
    middle, far = size / 2, size - 1
    draw.polygon([(middle, 0), (far, middle), (middle, far), (0, middle)], (16, 14, 20))
    inset = 3 * OVERSAMPLING
    draw.polygon(
        [(middle, inset), (far - inset, middle), (middle, far - inset), (inset, middle)], rarity.mark
    )
    light = mixed(rarity.mark, (255, 255, 255), 0.55)
    draw.polygon([(middle, inset), (middle, middle), (inset, middle)], light)
    return mark.resize((24, 24), Image.Resampling.BOX)


@lru_cache
def bare_frame(layout: Layout) -> Image.Image:
    """Return where a card shows neither art nor panel nor border, L of the card's size."""
    mask = Image.new("L", (WIDTH * OVERSAMPLING, HEIGHT * OVERSAMPLING))
    draw = ImageDraw.Draw(mask)
    draw.rectangle(larger((8, 8, WIDTH - 8, HEIGHT - 8)), 255)
    mask.paste(0, mask=window_mask(layout))
    for box in (layout.title, layout.type_line, layout.text, layout.strength):
        if box:
            draw.rounded_rectangle(larger(box, 2), 10 * OVERSAMPLING, 0)
    return mask.resize((WIDTH, HEIGHT), Image.Resampling.BOX)


def foil(card: Image.Image, layout: Layout, phase: float) -> Image.Image:
    """Return the card with a rainbow sheen over its bare frame; the phase in [0, 1] turns the colours."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float64)
    along = 2 * np.pi * ((x + 0.6 * y) / 260 + phase)
    bands = np.stack([np.sin(along + shift) for shift in (0, 2.1, 4.2)], axis=-1)
    glint = 40 * np.sin((x - y) / 9)[..., None].clip(0, 1)
    sheen = Image.fromarray((165 + 85 * bands + glint).clip(0, 255).astype(np.uint8))
    return Image.composite(Image.blend(card, sheen, 0.7), card, bare_frame(layout))


def trim(card: Image.Image, rarity: Rarity) -> None:
    """Draw the thin line of a rarity's colour along the inside of the border."""
    ImageDraw.Draw(card).rectangle((9, 9, WIDTH - 10, HEIGHT - 10), outline=rarity.mark, width=3)
