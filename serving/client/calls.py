"""What each method of the clients asks the gateway. Nothing is sent here."""

import secrets
import sys
from collections.abc import Iterable, Sequence
from functools import partial
from operator import index
from typing import Any, Literal, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from serving.bodies import ModelCard, Readiness, UnreadCard
from serving.cards import Format
from serving.client import answers
from serving.client.card import Card, ImageFile, JudgedCard
from serving.client.message import Call
from serving.client.upload import Picture, batches, uploads_of
from serving.contract import MAX_ROWS
from serving.file_names import file_name, morph_name
from serving.noise import SEEDS

NoiseRows = NDArray[Any] | Sequence[Sequence[float]] | Sequence[float]
"""(n, noise_size) numbers, or (noise_size,) for one card."""

MovingFormat = Literal["webp", "gif", "apng"]

MORE_THAN_ANY = 2**31
"""Cards in one request that must not be split."""


def generate(
    n: SupportsIndex | None = None,
    seed: SupportsIndex | None = None,
    label: str | None = None,
    truncation: float | None = None,
    *,
    format: Format = "png",
    quality: int | None = None,
    noise: NoiseRows | None = None,
) -> list[Call[list[Card]]]:
    """Draw n cards, any number; card i is drawn from (seed + i) mod 2**32.

    Without a seed, one is chosen here, so that every request can be repeated. Truncation, above 0 to 2,
    scales the noise. Quality, 1 to 100, is for jpeg and webp. Noise, (n, noise_size), replaces n, seed and
    truncation. Raises HolofoilError; ValueError for noise together with those, or malformed.
    """
    how = given(label=label, truncation=truncation, output_format=format, output_compression=quality)
    return [
        Call(
            partial(answers.drawn, MAX_ROWS * number, count_of(which)),
            "POST",
            "/generate",
            json={**which, **how},
        )
        for number, which in enumerate(portions(n, seed, truncation, noise))
    ]


def card(
    seed: SupportsIndex,
    label: str | None = None,
    truncation: float | None = None,
    *,
    format: Format = "png",
    quality: int | None = None,
) -> Call[Card]:
    """Fetch the card of a seed; one that was fetched before is sent again only if the models have changed.

    Raises HolofoilError; ValueError for a label too long for an address.
    """
    seed = index(seed)
    query = given(seed=seed, label=label, truncation=truncation, format=format, quality=quality)
    name = file_name("card", seed, format)
    return Call(
        partial(answers.fetched, name, seed), "GET", "/generate", query=query, accept=f"image/{format}"
    )


def sheet(
    n: SupportsIndex | None = None,
    seed: SupportsIndex | None = None,
    label: str | None = None,
    truncation: float | None = None,
    *,
    format: Format = "png",
    quality: int | None = None,
    noise: NoiseRows | None = None,
) -> Call[ImageFile]:
    """Draw up to 16 cards, the same as `generate` draws, on one contact sheet. Raises as it does."""
    how = given(label=label, truncation=truncation, output_format=format, output_compression=quality)
    which = portions(n, seed, truncation, noise, MORE_THAN_ANY)[0]
    return Call(
        partial(answers.image_file, file_name("sheet", which.get("seed", 0), format)),
        "POST",
        "/generate",
        json={**which, **how, "layout": "sheet"},
        accept=f"image/{format}",
    )


def morph(
    seeds: Iterable[SupportsIndex],
    label: str | None = None,
    truncation: float | None = None,
    *,
    frames: int | None = None,
    milliseconds: int | None = None,
    loop: bool | None = None,
    format: MovingFormat = "webp",
) -> Call[ImageFile]:
    """Draw the cards between two or more seeds as a moving picture.

    frames: from one card to the next. milliseconds: of each frame. loop: go back to the first card, for ever.
    Raises HolofoilError.
    """
    numbers = [index(seed) for seed in seeds]
    body = given(label=label, truncation=truncation, frames=frames, milliseconds=milliseconds, loop=loop)
    return Call(
        partial(answers.image_file, morph_name(numbers, format)),
        "POST",
        "/morph",
        json={"seeds": numbers, **body},
        accept=f"image/{format}",
    )


def score(pictures: Picture | Iterable[Picture]) -> list[Call[list[JudgedCard]]]:
    """Judge one picture or any number of them, in their order; if one cannot be read, none is judged.

    A picture is a path, the bytes of an image file, a Pillow image or a uint8 array (height, width, 3).
    Raises BadImage naming each that cannot be read, other HolofoilErrors, OSError for a missing file,
    TypeError for anything but a picture, ValueError for no picture at all.
    """
    return [
        Call(partial(answers.judged, start, batch), "POST", "/score", uploads=batch)
        for start, batch in batches(uploads_of(pictures))
    ]


def score_lenient(pictures: Picture | Iterable[Picture]) -> list[Call[list[JudgedCard | UnreadCard]]]:
    """Judge any number of pictures, in their order; one that cannot be read has an `error` instead.

    Raises HolofoilError, OSError for a missing file, TypeError for anything but a picture, ValueError for
    none at all.
    """
    return [
        Call(
            partial(answers.looked_at, start, batch),
            "POST",
            "/score",
            uploads=batch,
            prefer=["handling=lenient"],
        )
        for start, batch in batches(uploads_of(pictures))
    ]


def models() -> Call[list[ModelCard]]:
    """Describe the generator and the discriminator: version, noise_size, size of cards, kinds.

    Raises HolofoilError.
    """
    return Call(answers.described, "GET", "/models")


def ready(wait: bool = False) -> Call[Readiness]:
    """Describe the models; with `wait`, ask until they are ready or the time is over.

    Raises Busy if they are not ready, other HolofoilErrors if no gateway answers.
    """
    return Call(partial(answers.read, Readiness), "GET", "/readyz", retries=sys.maxsize if wait else 0)


def portions(
    n: SupportsIndex | None,
    seed: SupportsIndex | None,
    truncation: float | None,
    noise: NoiseRows | None,
    most: int = MAX_ROWS,
) -> list[dict[str, Any]]:
    """Say which cards each request draws. Values that break a rule are sent: the gateway says what to do."""
    if noise is not None:
        if (n, seed, truncation) != (None, None, None):
            raise ValueError("Noise says how many cards from what: leave out n, seed and truncation.")
        numbers = np.atleast_2d(np.asarray(noise, np.float32))
        if numbers.ndim > 2 or not len(numbers) or not np.isfinite(numbers).all():
            raise ValueError(
                "Noise is finite numbers, (n, noise_size) or (noise_size,); no rows draw no card."
            )
        # The shortest decimals that give these float32 again.
        rows = [[float(str(value)) for value in row] for row in numbers]
        return [{"noise": rows[start : start + most]} for start in range(0, len(rows), most)]
    first = secrets.randbelow(SEEDS) if seed is None else index(seed)
    asked = 1 if n is None else index(n)
    starts = range(0, asked, most) if asked > most else [0]
    return [
        {"n": min(asked - start, most), "seed": (first + start) % SEEDS if start else first}
        for start in starts
    ]


def count_of(which: dict[str, Any]) -> int:
    """Return the number of cards that a request draws."""
    return len(which["noise"]) if "noise" in which else which["n"]


def given(**fields: object) -> dict[str, Any]:
    """Leave out what was not given, for the gateway to choose; NumPy's numbers become Python's."""
    return {
        name: value.item() if isinstance(value, np.generic) else value
        for name, value in fields.items()
        if value is not None
    }
