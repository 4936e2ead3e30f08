"""Folders of drawn cards, sound ones and one with every fault that an audit knows."""

import io
import os
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from tests.fakes import pictures

Card = Callable[[int], Image.Image]


def card(number: int, width: int = 100, height: int = 140) -> Image.Image:
    """A card of one template: dark frame, coloured panel, a picture of its own, lines of text."""
    rng = np.random.default_rng(number)
    hue = tuple(rng.integers(90, 230, 3).tolist())
    image = Image.new("RGB", (width, height), (30, 28, 40))
    draw = ImageDraw.Draw(image)
    draw.rectangle((6, 6, width - 7, height - 7), fill=hue)
    draw.rectangle((10, 20, width - 11, 82), fill=tuple(rng.integers(0, 256, 3).tolist()))
    for _ in range(12):
        x, y, radius = rng.integers((12, 22, 4), (width - 24, 70, 22)).tolist()
        box = (x, y, min(x + radius, width - 12), min(y + radius, 81))
        draw.ellipse(box, fill=tuple(rng.integers(0, 256, 3).tolist()))
    for line in range(5):
        draw.rectangle(
            (12, 90 + 9 * line, 12 + int(rng.integers(20, width - 26)), 93 + 9 * line), fill=(20, 20, 30)
        )
    return image


def sound(root: Path, count: int, drawn: Card = card) -> Path:
    """Write so many different cards, portrait, of one size and template."""
    root.mkdir(parents=True)
    for number in range(count):
        drawn(number).save(root / f"{number:04}.png")
    return root


def faulty(root: Path, count: int = 120, drawn: Card = card) -> dict[str, set[str]]:
    """Write cards into sub-folders and seed every fault; return the files that have each, by its id."""
    sound(root / "cards", count, drawn)
    faults: dict[str, set[str]] = {}
    place = root / "faults"
    place.mkdir()
    fresh = iter(range(10_000, 20_000))  # cards that are nowhere else

    def put(id: str, name: str, data: bytes) -> None:
        (place / name).write_bytes(data)
        faults.setdefault(id, set()).add(f"faults/{name}")

    whole = pictures.file(drawn(next(fresh)))
    put("A2", "empty.png", b"")
    put("A2", "text.jpg", b"no picture")
    put("A2", "cut.png", whole[: len(whole) // 2])
    put("A2", "bomb.png", pictures.bomb(60_000, 60_000))
    put("A3", "same-file.png", (root / "cards" / "0003.png").read_bytes())
    put("A3", "same-pixels.bmp", pictures.file(drawn(4), "BMP"))
    for number in (7, 8, 9):
        put("A4", f"saved-again-{number}.jpg", pictures.file(scaled(drawn(number), 0.9), "JPEG", quality=70))
    for number in range(count // 8):
        wide = drawn(next(fresh))
        wide = wide.resize((round(wide.width * 1.25), wide.height))
        put("A5", f"wide-{number}.png", pictures.file(wide))
    for number in range(count // 4):
        put("A6", f"small-{number}.png", pictures.file(scaled(drawn(next(fresh)), 0.22)))
    for number in range(3):
        put("A7", f"sideways-{number}.png", pictures.file(drawn(next(fresh)).rotate(90, expand=True)))
    for number in range(5):
        put("A8", f"round-{number}.png", pictures.file(rounded(drawn(next(fresh)))))
        put("A9", f"grey-{number}.png", pictures.file(drawn(next(fresh)).convert("L").convert("RGB")))
        put(
            "A10",
            f"print-{number}.jpg",
            pictures.file(drawn(next(fresh)).convert("CMYK"), "JPEG", quality=95),
        )
        put("A11", f"deep-{number}.png", sixteen_bits(drawn(next(fresh))))
        put("A13", f"blank-{number}.png", pictures.file(scan_of_nothing(number)))
        put("A14", f"table-{number}.jpg", pictures.file(on_a_table(drawn(next(fresh))), "JPEG", quality=90))
    put("A12", "moves.gif", pictures.animated("GIF"))
    for number in range(count // 4):
        put("A15", f"white-{number}.png", pictures.file(white_bordered(drawn(next(fresh)))))
    faults["A16"] = {name for name in faults["A6"]}
    return faults


def odd_names(root: Path) -> list[str]:
    """Write cards whose names are hard to show, and links that lead in a circle; return the names."""
    names = [
        'say "cheese".png',
        "two\nlines.png",
        "<script>alert(1)<&>.png",
        "$folder ${x}.png",
        "\x1b[31mred.png",
    ]
    names.append(os.fsdecode(b"latin-\xe9.png"))
    for number, name in enumerate(names):
        card(30_000 + number).save(root / name, "PNG")
    (root / "round.png").symlink_to("round.png")
    (root / "again").symlink_to(root)
    os.mkfifo(root / "pipe.png")
    return names


def scaled(image: Image.Image, factor: float) -> Image.Image:
    """Resize."""
    return image.resize((round(image.width * factor), round(image.height * factor)))


def rounded(image: Image.Image) -> Image.Image:
    """Make the corners transparent."""
    mask = Image.new("L", image.size)
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, image.width - 1, image.height - 1), image.width // 8, 255)
    image.putalpha(mask)
    return image


def on_a_table(image: Image.Image) -> Image.Image:
    """Photograph it on a table of one colour, which is not perfectly even."""
    table = Image.new("RGB", (image.width * 3 // 2, image.height * 3 // 2), (196, 188, 176))
    table.paste(image, (image.width // 4, image.height // 5))
    noise = np.random.default_rng(0).normal(0, 3, (table.height, table.width, 3))
    return Image.fromarray((np.asarray(table) + noise).clip(0, 255).astype(np.uint8))


def scan_of_nothing(number: int) -> Image.Image:
    """A sheet of paper."""
    noise = np.random.default_rng(number).normal((240, 238, 230), 1.5, (140, 100, 3))
    return Image.fromarray(noise.clip(0, 255).astype(np.uint8))


def white_bordered(image: Image.Image) -> Image.Image:
    """Another template: a white border in place of the dark one."""
    inner = scaled(image, 0.86)
    white = Image.new("RGB", image.size, "white")
    white.paste(inner, ((image.width - inner.width) // 2, (image.height - inner.height) // 2))
    return white


def sixteen_bits(image: Image.Image) -> bytes:
    """A colour PNG of 16 bits a channel, which Pillow cannot write."""
    header = pictures.file(image)[16:24] + bytes([16, 2, 0, 0, 0])
    rows = (np.asarray(image).astype(">u2") * 257).tobytes()
    stride = 6 * image.width
    data = b"".join(b"\0" + rows[start : start + stride] for start in range(0, len(rows), stride))
    file = io.BytesIO(b"\x89PNG\r\n\x1a\n")
    file.seek(0, io.SEEK_END)
    for name, body in ((b"IHDR", header), (b"IDAT", zlib.compress(data)), (b"IEND", b"")):
        file.write(pictures.chunk(name, body))
    return file.getvalue()
