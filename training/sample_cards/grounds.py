"""The painted grounds of the sample cards: skies, land, water and light, made of noise and a few colours.

A painting is (height, width, 3) in [0, 1]; colours are rgb triples of 0 to 255.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image

Colour = tuple[int, int, int]
Floats = NDArray[np.floating]
Painting = Floats
Mask = Floats  # (height, width) in [0, 1]


@dataclass(frozen=True)
class Ground:
    """What is painted behind the pictures, from the back to the front."""

    top: Colour
    low: Colour  # the sky at the horizon
    light: Colour  # sun, rays, sparks
    far: Colour
    near: Colour
    features: tuple[str, ...]


GROUNDS: dict[str, tuple[Ground, ...]] = {
    "ember": (
        Ground((58, 12, 28), (240, 92, 36), (255, 206, 92), (96, 24, 34), (38, 12, 20),
               ("sun", "peaks", "lava", "sparks")),
        Ground((110, 20, 26), (255, 150, 60), (255, 226, 140), (150, 44, 30), (70, 20, 22),
               ("clouds", "peaks", "hills", "sparks")),
        Ground((34, 10, 26), (170, 40, 30), (255, 160, 60), (70, 20, 30), (26, 8, 16),
               ("clouds", "spires", "lava", "sparks")),
        Ground((150, 40, 30), (255, 186, 96), (255, 240, 180), (186, 74, 44), (110, 36, 30),
               ("rays", "dunes")),
    ),
    "tide": (
        Ground((20, 70, 160), (150, 214, 240), (240, 250, 255), (30, 96, 170), (14, 54, 122),
               ("sun", "clouds", "sea")),
        Ground((30, 120, 200), (8, 30, 90), (170, 230, 255), (14, 60, 130), (6, 26, 72),
               ("rays", "peaks", "bubbles")),
        Ground((16, 30, 84), (70, 120, 190), (220, 236, 255), (24, 62, 128), (10, 30, 82),
               ("moon", "stars", "sea")),
        Ground((60, 150, 220), (196, 236, 240), (255, 250, 220), (40, 130, 180), (20, 80, 150),
               ("clouds", "peaks", "sea")),
    ),
    "grove": (
        Ground((90, 180, 210), (226, 244, 196), (255, 250, 200), (96, 166, 92), (34, 104, 50),
               ("sun", "clouds", "hills", "hills")),
        Ground((24, 84, 54), (178, 220, 120), (230, 255, 160), (40, 110, 60), (14, 54, 34),
               ("rays", "trees", "trees", "sparks")),
        Ground((40, 120, 130), (200, 236, 170), (250, 255, 200), (56, 130, 84), (22, 76, 44),
               ("peaks", "trees", "hills")),
        Ground((14, 50, 46), (90, 170, 90), (210, 255, 150), (22, 84, 56), (8, 36, 28),
               ("mist", "trees", "hills", "sparks")),
    ),
    "dusk": (
        Ground((24, 10, 54), (136, 70, 170), (240, 220, 255), (58, 28, 94), (22, 8, 46),
               ("stars", "moon", "peaks", "hills")),
        Ground((14, 8, 36), (90, 40, 130), (210, 160, 255), (42, 20, 76), (14, 6, 32),
               ("stars", "clouds", "spires", "mist")),
        Ground((50, 16, 74), (220, 110, 170), (255, 200, 230), (86, 34, 104), (36, 12, 58),
               ("clouds", "moon", "spires", "hills")),
        Ground((90, 50, 140), (40, 16, 70), (230, 150, 255), (46, 22, 80), (18, 8, 40),
               ("rays", "cave", "hills", "sparks")),
    ),
    "dawn": (
        Ground((120, 176, 232), (255, 240, 200), (255, 252, 226), (226, 186, 110), (176, 124, 58),
               ("sun", "rays", "clouds", "hills")),
        Ground((250, 190, 90), (255, 244, 204), (255, 255, 240), (230, 170, 90), (190, 120, 56),
               ("rays", "clouds", "peaks", "hills")),
        Ground((150, 200, 240), (255, 236, 214), (255, 250, 220), (240, 226, 200), (222, 190, 140),
               ("clouds", "clouds", "mist")),
        Ground((236, 150, 110), (255, 226, 150), (255, 248, 210), (206, 140, 90), (150, 92, 60),
               ("sun", "clouds", "sea")),
    ),
    "stone": (
        Ground((120, 170, 200), (244, 222, 176), (255, 246, 214), (196, 140, 90), (140, 88, 52),
               ("sun", "mesas", "dunes")),
        Ground((70, 54, 50), (170, 130, 96), (255, 220, 150), (104, 78, 62), (54, 38, 32),
               ("rays", "cave", "hills", "sparks")),
        Ground((160, 120, 100), (240, 210, 170), (255, 240, 200), (150, 106, 78), (92, 62, 46),
               ("clouds", "peaks", "mesas", "hills")),
        Ground((96, 110, 130), (214, 206, 190), (250, 240, 220), (128, 116, 104), (80, 68, 58),
               ("clouds", "mesas", "dunes", "mist")),
    ),
    "frost": (
        Ground((70, 130, 190), (220, 242, 250), (255, 255, 255), (150, 190, 220), (226, 240, 250),
               ("peaks", "hills", "snow")),
        Ground((16, 40, 80), (90, 170, 190), (150, 255, 220), (90, 140, 180), (200, 226, 240),
               ("stars", "aurora", "peaks", "hills")),
        Ground((130, 190, 224), (240, 250, 255), (255, 255, 255), (170, 206, 230), (210, 232, 244),
               ("sun", "clouds", "spires", "hills", "snow")),
        Ground((50, 80, 130), (170, 206, 230), (255, 255, 255), (110, 150, 190), (176, 208, 228),
               ("moon", "trees", "hills", "snow")),
    ),
}  # fmt: skip

# What a spell or a relic is shown before: the element's own colours without a landscape.
VISIONS = (
    ("burst", "sparks"),
    ("swirl", "sparks"),
    ("rings", "burst"),
    ("clouds", "rings"),
    ("rays", "sparks"),
)


def colour(value: Colour) -> Floats:
    """Return 0..255 as float32 in [0, 1]."""
    return np.array(value, np.float32) / 255


@lru_cache
def grid(height: int, width: int) -> tuple[Mask, Mask]:
    """Return y, x of every pixel, both in pixels.

    In float64: NumPy's functions give other last bits on other processors, which in float32 showed in one
    card of ten.
    """
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    return y, x


def smooth_noise(rng: Generator, height: int, width: int, cell: float) -> Mask:
    """Return noise in [0, 1] whose spots are about `cell` pixels across."""
    rows, columns = max(2, round(height / cell) + 1), max(2, round(width / cell) + 1)
    coarse = Image.fromarray(rng.random((rows, columns), np.float32))
    return np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)).clip(0, 1)


def lay(painting: Painting, mask: Mask, paint: Floats) -> None:
    """Paint over in place, where the mask says."""
    painting += mask[..., None] * (paint - painting)


def skyline(rng: Generator, width: int, points: int, smooth: bool) -> Floats:
    """Return heights in [0, 1] along the width: jagged, or rolling where smooth."""
    at = np.linspace(0, points, width)
    heights = rng.random(points + 2)
    left = at.astype(int)
    part = at - left
    if smooth:
        part = (1 - np.cos(np.pi * part)) / 2
    return (heights[left] * (1 - part) + heights[left + 1] * part).astype(np.float32)


@dataclass
class Stage:
    """What a feature needs to paint itself: the painting so far and where the horizon lies."""

    rng: Generator
    painting: Painting
    ground: Ground
    horizon: float  # in pixels from the top
    depth: float  # 0 at the back, 1 at the front: how far the features have come

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.painting.shape[0], self.painting.shape[1]

    def land(self) -> Floats:
        """Return the colour of the land at this depth."""
        return colour(self.ground.far) * (1 - self.depth) + colour(self.ground.near) * self.depth

    def rise(self, profile: Floats, shade: float = 0.35) -> None:
        """Fill everything below a profile (y per column) with land that darkens downwards."""
        height, width = self.size
        y, _ = grid(height, width)
        below = y - profile[None, :]
        fade = 1 - shade * (below / (0.6 * height)).clip(0, 1)
        steepness = np.hypot(
            1, np.gradient(profile)
        )  # the edge is one pixel wide across the slope, not down it
        lay(self.painting, (below / steepness[None, :] + 0.5).clip(0, 1), self.land() * fade[..., None])


def sun(stage: Stage) -> None:
    """A disc with a wide glow."""
    disc(stage, radius=stage.rng.uniform(0.1, 0.2), glow=0.7)


def moon(stage: Stage) -> None:
    """A disc with a narrow glow."""
    disc(stage, radius=stage.rng.uniform(0.08, 0.16), glow=0.35)


def disc(stage: Stage, radius: float, glow: float) -> None:
    """Paint a shining disc in the sky; radius is in heights of the painting."""
    height, width = stage.size
    y, x = grid(height, width)
    scale = min(height, width)
    away = np.hypot(
        x - stage.rng.uniform(0.15, 0.85) * width, y - stage.rng.uniform(0.15, 0.75) * stage.horizon
    )
    halo = np.exp(-away / (radius * scale * 2)) * glow
    lay(stage.painting, halo, colour(stage.ground.light))
    lay(stage.painting, (radius * scale - away).clip(0, 1), colour(stage.ground.light))


def clouds(stage: Stage) -> None:
    """Banks of cloud, flatter than wide."""
    height, width = stage.size
    tall = smooth_noise(stage.rng, height * 2, width, width / 5)[::2]
    fine = smooth_noise(stage.rng, height * 2, width, width / 14)[::2]
    bank = ((0.68 * tall + 0.32 * fine - 0.46) * 3.2).clip(0, 0.8)
    lay(
        stage.painting,
        bank,
        colour(stage.ground.light) * 0.75 + colour(stage.ground.low) * 0.25,
    )


def mist(stage: Stage) -> None:
    """A pale band along the horizon."""
    height, width = stage.size
    y, _ = grid(height, width)
    band = np.exp(-(((y - stage.horizon) / (0.14 * height)) ** 2))
    lay(
        stage.painting,
        0.6 * band * smooth_noise(stage.rng, height, width, width / 3),
        colour(stage.ground.light),
    )


def stars(stage: Stage) -> None:
    """Points of light in the sky."""
    scatter(stage, count=60, largest=1.4, below=stage.horizon)


def sparks(stage: Stage) -> None:
    """Points of light everywhere."""
    scatter(stage, count=36, largest=2.6, below=stage.size[0])


def snow(stage: Stage) -> None:
    """Flakes everywhere."""
    scatter(stage, count=90, largest=2.4, below=stage.size[0])


def bubbles(stage: Stage) -> None:
    """Few and larger points of light."""
    scatter(stage, count=24, largest=5.0, below=stage.size[0])


def scatter(stage: Stage, count: int, largest: float, below: float) -> None:
    """Paint soft round points, radii up to `largest` pixels."""
    _, width = stage.size
    light = colour(stage.ground.light)
    for _ in range(count):
        x, y = stage.rng.uniform(0, width), stage.rng.uniform(0, below)
        radius = largest * stage.rng.uniform(0.35, 1)
        top, left = max(0, int(y - radius - 1)), max(0, int(x - radius - 1))
        patch = stage.painting[top : int(y + radius + 2), left : int(x + radius + 2)]
        rows, columns = np.ogrid[top : top + patch.shape[0], left : left + patch.shape[1]]
        mask = (radius + 0.5 - np.hypot(rows - y, columns - x)).clip(0, 1)
        lay(patch, mask * stage.rng.uniform(0.4, 0.95), light)


def rays(stage: Stage) -> None:
    """Shafts of light that fall from a point above."""
    height, width = stage.size
    fan(stage, stage.rng.uniform(0.2, 0.8) * width, -0.15 * height, 0.5)


def burst(stage: Stage) -> None:
    """Rays that leave the middle, with a bright core."""
    height, width = stage.size
    fan(stage, width / 2, height / 2, 0.55)
    y, x = grid(height, width)
    away = np.hypot(x - width / 2, y - height / 2)
    lay(stage.painting, 0.9 * np.exp(-((away / (0.3 * height)) ** 2)), colour(stage.ground.light))


def fan(stage: Stage, x0: float, y0: float, strength: float) -> None:
    """Paint shafts of light around a point."""
    height, width = stage.size
    y, x = grid(height, width)
    angle = np.arctan2(y - y0, x - x0)
    count, phase = stage.rng.integers(9, 22), stage.rng.uniform(0, 2 * math.pi)
    beams = 0.5 + 0.35 * np.sin(count * angle + phase) + 0.25 * np.sin((count * 2 + 1) * angle - phase)
    fade = np.exp(-np.hypot(x - x0, y - y0) / (0.9 * max(height, width)))
    lay(stage.painting, (strength * beams * fade).clip(0, 1), colour(stage.ground.light))


def swirl(stage: Stage) -> None:
    """A whirl around the middle."""
    height, width = stage.size
    y, x = grid(height, width)
    away = np.hypot(x - width / 2, y - height / 2) + 1
    arms = stage.rng.integers(2, 6)
    turn = stage.rng.choice([-1, 1]) * stage.rng.uniform(2.5, 4.5)
    wave = np.sin(arms * np.arctan2(y - height / 2, x - width / 2) + turn * np.log(away))
    light = (0.5 * wave + 0.1).clip(0, 1) + 0.8 * np.exp(-away / (0.22 * height))
    lay(stage.painting, light.clip(0, 1), colour(stage.ground.light))


def rings(stage: Stage) -> None:
    """Rings of light around the middle, as a ripple or a rune circle."""
    height, width = stage.size
    y, x = grid(height, width)
    away = np.hypot(x - width / 2, y - height / 2)
    for radius in stage.rng.uniform(0.18, 0.75, 3) * height:
        lay(stage.painting, 0.8 * np.exp(-(((away - radius) / 3) ** 2)), colour(stage.ground.light))


def aurora(stage: Stage) -> None:
    """Curtains of light in the sky."""
    height, width = stage.size
    y, x = grid(height, width)
    for _ in range(3):
        phase, bend = stage.rng.uniform(0, 6.3), stage.rng.uniform(0.01, 0.03)
        foot = stage.horizon * (stage.rng.uniform(0.4, 0.9) + 0.12 * np.sin(bend * x + phase))
        curtain = np.exp(-((foot - y) / (0.3 * stage.horizon)).clip(0, 9)) * (y < foot)
        lay(stage.painting, 0.5 * curtain, colour(stage.ground.light))


def peaks(stage: Stage) -> None:
    """Jagged mountains."""
    height, width = stage.size
    crest = 0.75 * skyline(stage.rng, width, 5, False) + 0.25 * skyline(stage.rng, width, 17, False)
    stage.rise(stage.horizon + height * (0.1 - 0.42 * crest))


def mesas(stage: Stage) -> None:
    """Flat-topped mountains."""
    height, width = stage.size
    crest = ((skyline(stage.rng, width, 6, True) - 0.45) * 6).clip(0, 1)
    stage.rise(stage.horizon + height * (0.08 - stage.rng.uniform(0.16, 0.32) * crest))


def hills(stage: Stage) -> None:
    """Rolling land."""
    height, width = stage.size
    stage.rise(
        stage.horizon + height * (0.1 + 0.16 * stage.depth - 0.16 * skyline(stage.rng, width, 3, True)), 0.5
    )


def dunes(stage: Stage) -> None:
    """Two slopes of sand, one lit."""
    hills(stage)
    stage.depth = min(1.0, stage.depth + 0.3)
    hills(stage)


def spires(stage: Stage) -> None:
    """Towers or needles of rock."""
    height, width = stage.size
    crest = skyline(stage.rng, width, 13, False) ** 3 + 0.2 * skyline(stage.rng, width, 4, True)
    stage.rise(stage.horizon + height * (0.12 - 0.5 * crest), 0.2)


def trees(stage: Stage) -> None:
    """The crowns of a wood with trunks before it."""
    height, width = stage.size
    crowns = np.abs(np.sin(np.linspace(0, stage.rng.uniform(16, 34), width) + stage.rng.uniform(0, 3)))
    crest = 0.3 * skyline(stage.rng, width, 4, True) + 0.16 * crowns.astype(np.float32)
    stage.rise(stage.horizon + height * (0.08 + 0.1 * stage.depth - 0.7 * crest), 0.5)


def sea(stage: Stage) -> None:
    """Water up to the horizon, with waves that widen towards the viewer."""
    height, width = stage.size
    y, x = grid(height, width)
    depth = ((y - stage.horizon) / (height - stage.horizon)).clip(0, 1)
    water = colour(stage.ground.far) * (1 - depth[..., None]) + colour(stage.ground.near) * depth[..., None]
    lay(stage.painting, (y - stage.horizon).clip(0, 1), water)
    swell = np.sin(26 * np.sqrt(depth) * 2 + 1.6 * np.sin(x / stage.rng.uniform(14, 30) + 5 * depth))
    lay(stage.painting, (0.4 * (swell - 0.45)).clip(0, 1) * (depth > 0), colour(stage.ground.light))


def lava(stage: Stage) -> None:
    """A glowing river at the foot of the land."""
    height, width = stage.size
    y, _ = grid(height, width)
    shore = stage.horizon + height * (0.2 + 0.12 * skyline(stage.rng, width, 4, True))
    below = y - shore[None, :]
    lay(stage.painting, 0.7 * np.exp(-np.abs(below) / (0.08 * height)), colour((255, 120, 30)))
    lay(stage.painting, below.clip(0, 1), colour((255, 140, 40)))
    crust = (smooth_noise(stage.rng, height, width, width / 16) - 0.4).clip(0, 0.25) * 4 * (below > 2)
    lay(stage.painting, crust, colour(stage.ground.near))


def cave(stage: Stage) -> None:
    """Dark walls all around, with ragged edges."""
    height, width = stage.size
    y, x = grid(height, width)
    away = np.hypot((x - width / 2) / (0.56 * width), (y - 0.45 * height) / (0.56 * height))
    walls = ((away + 0.5 * smooth_noise(stage.rng, height, width, width / 8) - 1) * 9).clip(0, 1)
    lay(stage.painting, walls, colour(stage.ground.near))


FEATURES: dict[str, Callable[[Stage], None]] = {
    feature.__name__: feature
    for feature in (
        sun, moon, clouds, mist, stars, sparks, snow, bubbles, rays, burst, swirl, rings, aurora,
        peaks, mesas, hills, dunes, spires, trees, sea, lava, cave,
    )
}  # fmt: skip


def paint_ground(
    rng: Generator, ground: Ground, features: tuple[str, ...], height: int, width: int, horizon: float
) -> Painting:
    """Paint a sky and the features of a ground, back to front; the horizon is in pixels."""
    y, _ = grid(height, width)
    down = (y / horizon).clip(0, 1)[..., None] ** np.float32(rng.uniform(0.7, 1.5))
    jitter = rng.normal(0, 0.025, 3).astype(np.float32)
    painting = (colour(ground.top) * (1 - down) + colour(ground.low) * down + jitter).astype(np.float32)
    stage = Stage(rng, painting, ground, horizon, 0.0)
    for number, feature in enumerate(features):
        stage.depth = number / max(1, len(features) - 1)
        FEATURES[feature](stage)
    return painting.clip(0, 1)
