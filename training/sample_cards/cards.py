"""Draws trading cards of an invented game, so that a first training needs no cards of your own.

Card i of a seed depends on nothing but the two numbers: 10 cards are the first 10 of 1,000.
"""

import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageDraw, ImageFont
from tqdm import tqdm

from training.sample_cards.frames import (
    ELEMENTS,
    HEIGHT,
    LAYOUTS,
    RARITIES,
    WIDTH,
    Box,
    Colour,
    Element,
    Layout,
    Rarity,
    foil,
    frame_of,
    mark_of,
    mixed,
    orb_of,
    trim,
)
from training.sample_cards.scenes import Picture, Window, choose_picture, paint_scene
from training.sample_cards.words import Words, write_words
from training.trouble import Trouble

JPEG_QUALITY = 92
LINE = 24  # pixels from one line of text to the next: three rows of a card at 40x56
ORB = (288, 36)  # its centre

SUBJECTS = {
    "creature": ("creatures",),
    "spell": ("forces", "forces", "plants"),
    "relic": ("relics",),
    "place": ("places",),
    "champion": ("creatures",),
}

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


class BadSample(Trouble):
    """These cards cannot be drawn; the message says why and what to do."""


@dataclass(frozen=True)
class Card:
    """Everything that is decided before a card is drawn."""

    layout: Layout
    element: Element
    rarity: Rarity
    subject: Picture
    cost: int
    strength: str
    words: Words


def sample_cards(out: Path, count: int = 1000, seed: int = 0) -> None:
    """Write `count` cards into a folder as card-000000.jpg and so on, over all cores.

    Cards of the same names are written anew; other files are left alone. Raises BadSample for a
    count below 1, a negative seed, or an `out` that is a file.
    """
    if count < 1:
        raise BadSample(f"The count is {count}. Ask for at least one card.")
    if seed < 0:
        raise BadSample(f"The seed is {seed}. Give 0 or a larger whole number.")
    if out.exists() and not out.is_dir():
        raise BadSample(f"{out} is a file. Name a folder; it is made if it is missing.")
    out.mkdir(parents=True, exist_ok=True)
    workers = min(os.cpu_count() or 1, count)
    # Spawned, not forked: TensorFlow's threads may already run in this process.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        done = pool.map(partial(write_card, out, seed), range(count), chunksize=16)
        for _ in tqdm(done, total=count, unit="card", desc="sample cards"):
            pass


def write_card(out: Path, seed: int, index: int) -> None:
    """Draw one card into the folder."""
    draw_card(seed, index).save(out / f"card-{index:06}.jpg", quality=JPEG_QUALITY, subsampling=0)


def draw_card(seed: int, index: int) -> Image.Image:
    """Return card `index` of a seed: RGB, 320 wide and 448 tall."""
    rng = np.random.default_rng((seed, index))
    card = design(rng)
    frame = frame_of(card.layout, card.element)
    image = Image.new("RGB", (WIDTH, HEIGHT))
    image.paste(paint_scene(rng, card.subject, card.element.name, window(card.layout)), card.layout.art[:2])
    image.paste(frame, mask=frame)
    if card.rarity.name == "rare":
        trim(image, card.rarity)
    if card.rarity.name == "mythic":
        image = foil(image, card.layout, rng.random())
    write(image, card)
    return image


def design(rng: Generator) -> Card:
    """Draw what a card shall be."""
    layout = LAYOUTS[rng.choice(len(LAYOUTS), p=[layout.share for layout in LAYOUTS])]
    element = ELEMENTS[rng.integers(len(ELEMENTS))]
    rarity = RARITIES[rng.choice(len(RARITIES), p=[rarity.share for rarity in RARITIES])]
    kinds = SUBJECTS[layout.name]
    subject = choose_picture(rng, kinds[rng.integers(len(kinds))], element.name)
    cost = int(rng.integers(1, 10))
    power, guard = (1 + rng.binomial(9, (cost + 1) / 14, 2)).tolist()
    strength = f"{power}/{guard}" if layout.name != "relic" else str(guard)
    return Card(
        layout,
        element,
        rarity,
        subject,
        cost,
        strength,
        write_words(rng, layout.name, element.name, subject.name),
    )


def window(layout: Layout) -> Window:
    """Return the size of the art, and the rows between which its subject is not covered by panels."""
    left, top, right, bottom = layout.art
    head, foot = (layout.title[3], layout.type_line[1]) if layout.glass else (top, bottom)
    return Window(right - left, bottom - top, head - top, foot - top)


@lru_cache
def font(size: int) -> Font:
    """Return Pillow's own typeface."""
    return ImageFont.load_default(size)


def fitted(text: str, size: int, width: int) -> Font:
    """Return the largest font up to `size` in which the text is at most `width` pixels."""
    while size > 9 and font(size).getlength(text) > width:
        size -= 1
    return font(size)


def wrapped(text: str, face: Font, width: int) -> list[str]:
    """Break a text into lines of at most `width` pixels."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if face.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def write(image: Image.Image, card: Card) -> None:
    """Put the orb, the mark and every text onto a framed card."""
    draw = ImageDraw.Draw(image)
    ink = mixed(card.element.dark, (0, 0, 0), 0.7)
    write_line(draw, card.words.name, card.layout.title, ink, 22, room=card.layout.title[2] - 90)
    write_line(draw, card.words.type_line, card.layout.type_line, ink, 18, room=236)
    orb, mark = orb_of(card.element), mark_of(card.rarity)
    image.paste(orb, (ORB[0] - orb.width // 2, ORB[1] - orb.height // 2), orb)
    write_centred(draw, str(card.cost), ORB, 30, ink)
    _, top, right, bottom = card.layout.type_line
    image.paste(mark, (right - 32, (top + bottom - mark.height) // 2), mark)
    write_rules(draw, card, ink)
    if card.layout.strength:
        left, top, right, bottom = card.layout.strength
        write_centred(draw, card.strength, ((left + right) // 2, (top + bottom) // 2), 28, (255, 255, 255))


def write_line(draw: ImageDraw.ImageDraw, text: str, box: Box, ink: Colour, size: int, room: int) -> None:
    """Write one line into a bar, from its left, at most `room` pixels long."""
    left, top, _, bottom = box
    face = fitted(text, size, room)
    draw.text(
        (left + 12, (top + bottom) / 2), text, ink, face, anchor="lm", stroke_width=0.5, stroke_fill=ink
    )


def write_centred(draw: ImageDraw.ImageDraw, text: str, at: tuple[int, int], size: int, ink: Colour) -> None:
    """Write a bold number around a point."""
    draw.text(at, text, ink, font(size), anchor="mm", stroke_width=1, stroke_fill=ink)


def write_rules(draw: ImageDraw.ImageDraw, card: Card, ink: Colour) -> None:
    """Fill the text box with as many whole rules as it holds, and lore in its last line if that is free."""
    left, top, right, bottom = card.layout.text
    if card.layout.strength:
        bottom = card.layout.strength[1]
    if card.layout.night:
        ink = card.element.paper
    face, room, space = font(18), right - left - 20, (bottom - top) // LINE
    lines: list[str] = []
    for rule in card.words.rules:
        more = wrapped(rule, face, room)
        if len(lines) + len(more) <= space:
            lines += more
    heights = [top + 4 + LINE * number + LINE // 2 for number in range(space)]
    for y, line in zip(heights, lines, strict=False):
        draw.text((left + 10, y), line, ink, face, anchor="lm", stroke_width=0.3, stroke_fill=ink)
    if len(lines) < space:
        lore = card.words.lore
        faint = mixed(ink, card.element.frame, 0.5)
        draw.text((left + 10, heights[-1]), lore, faint, fitted(lore, 17, room), anchor="lm")
