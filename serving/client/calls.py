"""What each method asks of the gateway and how it reads the answer. Nothing is sent here."""

import base64
import re
import secrets
import sys
from collections.abc import Iterable, Sequence
from functools import partial
from operator import index
from typing import Any, Literal, SupportsIndex, TypeVar
from urllib.parse import unquote

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError

from serving.bodies import Drawing, Judgement, ModelCard, Models, Problem, Readiness, ScoredCard, UnreadCard
from serving.cards import Format
from serving.client.card import Card, ImageFile, JudgedCard
from serving.client.errors import BadImage, Refused, UnexpectedAnswer, refusal
from serving.client.message import Call, Reply
from serving.client.patience import retry_after
from serving.client.upload import Picture, Upload, batches, uploads_of
from serving.contract import MAX_ROWS
from serving.file_names import file_name, morph_name
from serving.noise import SEEDS

M = TypeVar("M", bound=BaseModel)

NoiseRows = NDArray[Any] | Sequence[Sequence[float]] | Sequence[float]
"""(n, noise_size) numbers, or (noise_size,) for one card."""

FILE = re.compile(r"/files/(\d{1,2})")
"""How a fault points to an upload."""

MovingFormat = Literal["webp", "gif", "apng"]

MORE_THAN_ANY = 2**31
"""Cards in one request, where it must not be split."""


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

    Without a seed one is drawn here, so that every request can be repeated. Truncation, above 0 to 2,
    scales the noise. Quality, 1 to 100, is for jpeg and webp. Noise, (n, noise_size), is there in place of
    n, seed and truncation. Raises HolofoilError; ValueError where it is there beside them, or is malformed.
    """
    how = given(label=label, truncation=truncation, output_format=format, output_compression=quality)
    return [
        Call(partial(drawn, MAX_ROWS * number, count_of(which)), "POST", "/generate", json={**which, **how})
        for number, which in enumerate(portions(n, seed, truncation, noise))
    ]


def count_of(which: dict[str, Any]) -> int:
    """Count the cards that a request is to draw."""
    return len(which["noise"]) if "noise" in which else which["n"]


def drawn(start: int, count: int, reply: Reply) -> list[Card]:
    """Read the answer of POST /generate about so many cards from start on."""
    drawing = read(Drawing, reply)
    if len(drawing.data) != count:
        raise UnexpectedAnswer(f"{count} cards were asked for and {len(drawing.data)} drawn.")
    return [
        Card(
            bytes=picture_in(card.b64_json),
            name=file_name(
                "card",
                start + card.index if card.seed is None else card.seed,
                card.media_type.removeprefix("image/"),
            ),
            version=drawing.model.version,
            seed=card.seed,
            label=card.label,
        )
        for card in drawing.data
    ]


def picture_in(text: str) -> bytes:
    """Return what base64 holds; raises UnexpectedAnswer for what is none."""
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise UnexpectedAnswer("The address answered cards that are not base64.") from None


def card(
    seed: SupportsIndex,
    label: str | None = None,
    truncation: float | None = None,
    *,
    format: Format = "png",
    quality: int | None = None,
) -> Call[Card]:
    """Fetch the card of a seed; one that was fetched before is only sent again if the models are others now.

    Raises HolofoilError; ValueError for a label that is too long for an address.
    """
    seed = index(seed)
    query = given(seed=seed, label=label, truncation=truncation, format=format, quality=quality)
    name = file_name("card", seed, format)
    return Call(partial(fetched, name, seed), "GET", "/generate", query=query, accept=f"image/{format}")


def fetched(name: str, seed: int, reply: Reply) -> Card:
    """Read the answer of GET /generate."""
    file = image_file(name, reply)
    label = reply.headers.get("x-label")
    return Card(file.bytes, name, file.version, seed, None if label is None else unquote(label))


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
    """Draw up to 16 cards, which `generate` would draw too, onto one contact sheet. Raises as it does."""
    how = given(label=label, truncation=truncation, output_format=format, output_compression=quality)
    which = portions(n, seed, truncation, noise, MORE_THAN_ANY)[0]
    return Call(
        partial(image_file, file_name("sheet", which.get("seed", 0), format)),
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

    frames: from one card to the next. milliseconds: for each frame. loop: go back to the first, for ever.
    Raises HolofoilError.
    """
    numbers = [index(seed) for seed in seeds]
    body = given(label=label, truncation=truncation, frames=frames, milliseconds=milliseconds, loop=loop)
    return Call(
        partial(image_file, morph_name(numbers, format)),
        "POST",
        "/morph",
        json={"seeds": numbers, **body},
        accept=f"image/{format}",
    )


def image_file(name: str, reply: Reply) -> ImageFile:
    """Read an answer that is a picture; raises Refused or UnexpectedAnswer."""
    success(reply)
    if not reply.media_type.startswith("image/"):
        raise unexpected(reply, "picture")
    return ImageFile(reply.body, name, reply.headers.get("x-model-version", ""))


def portions(
    n: SupportsIndex | None,
    seed: SupportsIndex | None,
    truncation: float | None,
    noise: NoiseRows | None,
    most: int = MAX_ROWS,
) -> list[dict[str, Any]]:
    """Say which cards each request is to draw. What breaks a rule is sent: the gateway says what to do."""
    if noise is not None:
        if (n, seed, truncation) != (None, None, None):
            raise ValueError("Noise says how many cards from what: leave out n, seed and truncation.")
        numbers = np.atleast_2d(np.asarray(noise, np.float32))
        if numbers.ndim > 2 or not len(numbers) or not np.isfinite(numbers).all():
            raise ValueError(
                "Noise is finite numbers, (n, noise_size) or (noise_size,); no rows draw no card."
            )
        # The shortest decimals that are still these float32.
        rows = [[float(str(value)) for value in row] for row in numbers]
        return [{"noise": rows[start : start + most]} for start in range(0, len(rows), most)]
    first = secrets.randbelow(SEEDS) if seed is None else index(seed)
    asked = 1 if n is None else index(n)
    starts = range(0, asked, most) if asked > most else [0]
    return [
        {"n": min(asked - start, most), "seed": (first + start) % SEEDS if start else first}
        for start in starts
    ]


def given(**fields: object) -> dict[str, Any]:
    """Leave out what was not given, for the gateway to choose; numbers of numpy become Python's."""
    return {
        name: value.item() if isinstance(value, np.generic) else value
        for name, value in fields.items()
        if value is not None
    }


def score(pictures: Picture | Iterable[Picture]) -> list[Call[list[JudgedCard]]]:
    """Judge one picture or any number of them, in their order; if one cannot be read, none is judged.

    A picture is a path, the bytes of an image file, a Pillow image or a uint8 array (height, width, 3).
    Raises BadImage naming each that cannot be read, other HolofoilErrors, OSError for a missing file,
    TypeError for what is no picture, ValueError for none at all.
    """
    return [
        Call(partial(judged, start, batch), "POST", "/score", uploads=batch)
        for start, batch in batches(uploads_of(pictures))
    ]


def judged(start: int, batch: Sequence[Upload], reply: Reply) -> list[JudgedCard]:
    """Read the answer of /score about the uploads from start on."""
    found = looked_at(start, batch, reply)
    cards = [card for card in found if isinstance(card, JudgedCard)]
    if len(cards) != len(found):
        raise UnexpectedAnswer("The address judged some of the cards and not others, which nobody asked for.")
    return cards


def score_lenient(pictures: Picture | Iterable[Picture]) -> list[Call[list[JudgedCard | UnreadCard]]]:
    """Judge what can be read of any number of pictures, in their order; any other has an `error` instead.

    Raises HolofoilError, OSError for a missing file, TypeError for what is no picture, ValueError for none.
    """
    return [
        Call(partial(looked_at, start, batch), "POST", "/score", uploads=batch, prefer=["handling=lenient"])
        for start, batch in batches(uploads_of(pictures))
    ]


def looked_at(start: int, batch: Sequence[Upload], reply: Reply) -> list[JudgedCard | UnreadCard]:
    """Read the answer of /score about the uploads from start on, readable or not."""
    try:
        judgement = read(Judgement, reply)
    except Refused as refused:
        raise among_all(start, batch, refused) from None
    if len(judgement.data) != len(batch):
        raise UnexpectedAnswer(f"{len(batch)} cards were sent and {len(judgement.data)} judged.")
    version = judgement.model.version
    return [
        JudgedCard(**card.model_dump(exclude={"index"}), index=start + card.index, version=version)
        if isinstance(card, ScoredCard)
        else card.model_copy(update={"index": start + card.index, "error": placed(card.error, start)})
        for card in judgement.data
    ]


def placed(problem: Problem, start: int) -> Problem:
    """Let a problem's pointers count from the first of all uploads."""
    faults = [
        fault.model_copy(
            update={"pointer": FILE.sub(lambda found: f"/files/{start + int(found[1])}", fault.pointer)}
        )
        for fault in problem.errors
    ]
    return problem.model_copy(update={"errors": faults})


def among_all(start: int, batch: Sequence[Upload], refused: Refused) -> Refused:
    """Name bad uploads by their own names and by their places among all, not among those of one request."""
    places = [FILE.fullmatch(fault.pointer) for fault in refused.faults]
    names = [batch[int(place[1])].name for place in places if place and int(place[1]) < len(batch)]
    if not names or len(names) < len(places):
        return refused
    words = [f"{name}: {fault.detail}" for name, fault in zip(names, refused.faults, strict=True)]
    problem = placed(refused.problem, start).model_copy(update={"detail": " ".join(words)})
    return BadImage(problem, refused.retry_after)


def models() -> Call[list[ModelCard]]:
    """Describe the generator and the discriminator: version, noise_size, size of cards, kinds.

    Raises HolofoilError.
    """
    return Call(described, "GET", "/models")


def described(reply: Reply) -> list[ModelCard]:
    """Read the answer of /models."""
    return read(Models, reply).data


def ready(wait: bool = False) -> Call[Readiness]:
    """Describe the models; `wait` asks until the time is over.

    Raises Busy where they are not ready, other HolofoilErrors where no gateway answers.
    """
    return Call(partial(read, Readiness), "GET", "/readyz", retries=sys.maxsize if wait else 0)


def read(model: type[M], reply: Reply) -> M:
    """Read an answer as JSON of a known form; raises Refused or UnexpectedAnswer."""
    success(reply)
    try:
        return model.model_validate_json(reply.body)
    except ValidationError:
        raise unexpected(reply, model.__name__) from None


def success(reply: Reply) -> None:
    """Raise Refused or UnexpectedAnswer for an answer that is no success."""
    if reply.status != 200:
        raise refusal(reply, retry_after(reply))


def unexpected(reply: Reply, wanted: str) -> UnexpectedAnswer:
    """Say that an answer is of another form, without repeating it."""
    return UnexpectedAnswer(
        f"The address answered {reply.media_type} that is no {wanted}. "
        "Is this a Holofoil gateway's address, and is it as new as this client?"
    )
