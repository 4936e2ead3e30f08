"""Scenes for the sample cards: cut-out pictures set into painted grounds."""

import csv
import math
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageChops, ImageFilter

from training.sample_cards.grounds import GROUNDS, VISIONS, Colour, Ground, colour, grid, paint_ground

ART = Path(__file__).parent / "art"


@dataclass(frozen=True)
class Picture:
    """One cut-out of art/ and what it may stand for."""

    kind: str  # creatures, plants, relics, places, forces
    name: str
    file: str
    pose: str  # stands, floats, bust
    elements: frozenset[str]


@lru_cache
def pictures(kind: str) -> tuple[Picture, ...]:
    """Return every picture of a kind, in the order of pictures.csv."""
    with (ART / "pictures.csv").open(newline="", encoding="utf-8") as file:
        return tuple(
            Picture(row["kind"], row["name"], row["file"], row["pose"], frozenset(row["elements"].split()))
            for row in csv.DictReader(file)
            if row["kind"] == kind
        )


def choose_picture(rng: Generator, kind: str, element: str) -> Picture:
    """Draw a picture of a kind; one that likes the element is eight times as likely."""
    choice = pictures(kind)
    weights = np.array([8.0 if element in picture.elements else 1.0 for picture in choice])
    return choice[rng.choice(len(choice), p=weights / weights.sum())]


@cache  # the whole folder is 35 MB decoded
def load(file: str) -> Image.Image:
    """Return a cut-out as RGBA, at most 176 pixels a side."""
    with Image.open(ART / file) as image:
        return image.convert("RGBA")


def tint(rng: Generator, cutout: Image.Image, ground: Ground, turn: float) -> Image.Image:
    """Turn a cut-out's hue by up to `turn` (1 is the whole circle) and set it into the ground's light."""
    alpha = cutout.getchannel("A")
    hue, saturation, value = cutout.convert("RGB").convert("HSV").split()
    shift = round(rng.uniform(-turn, turn) * 255)
    hue = hue.point([(level + shift) % 256 for level in range(256)])
    rgb = np.asarray(Image.merge("HSV", (hue, saturation, value)).convert("RGB"), np.float32) / 255
    down = np.linspace(0, 1, rgb.shape[0], dtype=np.float32)[:, None, None]
    rgb = rgb * (1.08 - 0.3 * down) + 0.16 * (
        colour(ground.light) * (1 - down) + colour(ground.near) * down - 0.5
    )
    lit = Image.fromarray((rgb.clip(0, 1) * 255).astype(np.uint8))
    lit.putalpha(alpha)
    return lit


def set_in(
    scene: Image.Image, cutout: Image.Image, x: float, y: float, halo: Colour, strength: float
) -> None:
    """Paste a cut-out centred at (x, y), before a soft halo of the given strength in [0, 1]."""
    spread = max(4, round(0.09 * max(cutout.size)))
    small = (max(1, cutout.width // 4), max(1, cutout.height // 4))
    room = Image.new("L", (small[0] + spread, small[1] + spread))
    room.paste(cutout.getchannel("A").resize(small), (spread // 2, spread // 2))
    glow = room.filter(ImageFilter.GaussianBlur(spread / 7)).resize((room.width * 4, room.height * 4))
    glow = glow.point([round(level * strength) for level in range(256)])
    scene.paste(halo, (round(x - glow.width / 2), round(y - glow.height / 2)), glow)
    scene.paste(cutout, (round(x - cutout.width / 2), round(y - cutout.height / 2)), cutout)


def cast_shadow(scene: Image.Image, x: float, foot: float, width: float) -> None:
    """Paint a soft flat shadow under something that stands."""
    size = (max(4, round(width)), max(3, round(0.2 * width)))
    rows, columns = np.ogrid[-1 : 1 : size[1] * 1j, -1 : 1 : size[0] * 1j]
    dark = (150 * (1 - rows**2 - columns**2).clip(0, 1)).astype(np.uint8)
    scene.paste((8, 6, 14), (round(x - size[0] / 2), round(foot - size[1] / 2)), Image.fromarray(dark))


@dataclass(frozen=True)
class Window:
    """The part of a card that shows a scene, in pixels; the subject keeps between `head` and `foot`."""

    width: int
    height: int
    head: int
    foot: int

    @property
    def room(self) -> int:
        """How tall the subject may be."""
        return self.foot - self.head


def scaled(rng: Generator, file: str, tall: float, wide: float) -> Image.Image:
    """Return a cut-out that fits tall x wide, flipped half of the time."""
    cutout = load(file)
    scale = min(tall / cutout.height, wide / cutout.width)
    size = (max(1, round(cutout.width * scale)), max(1, round(cutout.height * scale)))
    cutout = cutout.resize(size, Image.Resampling.BICUBIC, reducing_gap=2)
    return cutout.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else cutout


@dataclass(frozen=True)
class Scene:
    """A painted ground that pictures are set into; sizes are in `room`s, x in widths of the window."""

    rng: Generator
    image: Image.Image
    ground: Ground
    window: Window

    def put(self, picture: Picture, size: float, x: float) -> None:
        """Set a picture to the front, as its pose asks."""
        turn = 0.08 if picture.kind in ("relics", "forces") else 0.035
        window, ground = self.window, self.ground
        cutout = tint(
            self.rng, scaled(self.rng, picture.file, size * window.room, 0.9 * window.width), ground, turn
        )
        middle = x * window.width
        if picture.pose == "stands":
            foot = window.foot - window.room * self.rng.uniform(0.03, 0.1)
            cast_shadow(self.image, middle, foot, 0.9 * cutout.width)
            set_in(self.image, cutout, middle, foot - cutout.height / 2, ground.light, 0.45)
        elif picture.pose == "bust":
            foot = window.foot + window.room * 0.06
            set_in(self.image, cutout, middle, foot - cutout.height / 2, ground.light, 0.55)
        else:
            y = window.head + window.room * self.rng.uniform(0.48, 0.54)
            cutout = cutout.rotate(self.rng.uniform(-14, 14), Image.Resampling.BILINEAR, expand=True)
            set_in(self.image, cutout, middle, y, ground.light, 0.8)

    def put_far(self, picture: Picture, x: float) -> None:
        """Set a picture on the horizon, small and hazy."""
        window, ground = self.window, self.ground
        small = scaled(self.rng, picture.file, 0.5 * window.room, 0.4 * window.width)
        cutout = tint(self.rng, small, ground, 0.03)
        hazy = Image.blend(cutout.convert("RGB"), Image.new("RGB", cutout.size, ground.far), 0.45)
        hazy.putalpha(cutout.getchannel("A"))
        foot = window.foot - 0.22 * window.room
        set_in(self.image, hazy, x * window.width, foot - cutout.height / 2, ground.low, 0.3)

    def put_around(self, picture: Picture) -> None:
        """Set small copies of a picture in a ring around the middle."""
        window, phase = self.window, self.rng.uniform(0, 2 * math.pi)
        count = int(self.rng.integers(3, 7))
        for angle in np.linspace(phase, phase + 2 * math.pi, count, endpoint=False):
            small = scaled(self.rng, picture.file, 0.24 * window.room, 0.24 * window.width)
            x = window.width * (0.5 + 0.4 * math.cos(angle))
            y = window.head + window.room * (0.5 + 0.36 * math.sin(angle))
            set_in(self.image, tint(self.rng, small, self.ground, 0.08), x, y, self.ground.light, 0.7)


@lru_cache
def vignette(width: int, height: int) -> Image.Image:
    """Return a multiplier that darkens the corners."""
    y, x = grid(height, width)
    away = np.hypot(x / width - 0.5, y / height - 0.5)
    shade = (255 * (1 - 0.9 * (away - 0.32).clip(0, 1))).astype(np.uint8)
    return Image.fromarray(np.repeat(shade[..., None], 3, axis=2))


def paint_scene(rng: Generator, subject: Picture, element: str, window: Window) -> Image.Image:
    """Return the art of a card, RGB of the window's size: a ground with its subject and company."""
    ground = GROUNDS[element][rng.integers(len(GROUNDS[element]))]
    vision = subject.kind in ("forces", "relics") and rng.random() < 0.7
    features = VISIONS[rng.integers(len(VISIONS))] if vision else ground.features
    horizon = window.head + window.room * rng.uniform(0.6, 0.74)
    painting = paint_ground(rng, ground, features, window.height, window.width, horizon)
    scene = Scene(rng, Image.fromarray((painting * 255).astype(np.uint8)), ground, window)
    add_company(scene, subject, element)
    scene.put(subject, rng.uniform(0.8, 1.0), rng.uniform(0.44, 0.56))
    return ImageChops.multiply(scene.image, vignette(window.width, window.height))


def add_company(scene: Scene, subject: Picture, element: str) -> None:
    """Set something behind the subject, about every other time: its kin, a place, a plant."""
    rng = scene.rng
    chance, side = rng.random(), rng.choice([0.16, 0.84])
    if subject.kind == "creatures" and chance < 0.35:
        scene.put_far(choose_picture(rng, "places", element), side)
    elif subject.kind in ("creatures", "plants") and chance < 0.5:
        for x in (side, 1 - side)[: rng.integers(1, 3)]:
            scene.put(subject, rng.uniform(0.4, 0.55), x)
    elif subject.kind == "places" and chance < 0.4:
        scene.put(choose_picture(rng, "plants", element), 0.3, side)
    elif subject.kind == "forces" and chance < 0.4:
        scene.put_around(subject)
