"""What each method asks of the gateway and how it reads the answer. Nothing is sent here."""

import base64
import re
import secrets
import sys
from collections.abc import Iterable, Sequence
from functools import partial
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from serving.bodies import Drawing, Fault, Judgement, Readiness, ScoredCard
from serving.cards import Format
from serving.client.card import Card
from serving.client.errors import BadImage, Refused, UnexpectedAnswer, refusal
from serving.client.message import Call, Reply
from serving.client.patience import retry_after
from serving.client.upload import Picture, Upload, batches, uploads_of
from serving.contract import MAX_ROWS
from serving.noise import SEEDS

M = TypeVar("M", bound=BaseModel)


def generate(
    n: int = 1,
    seed: int | None = None,
    label: str | None = None,
    truncation: float = 1.0,
    *,
    format: Format = "png",
    quality: int | None = None,
) -> list[Call[list[Card]]]:
    """Draw n cards; card i is drawn from (seed + i) mod 2**32, however many requests that takes.

    Without a seed one is drawn here, so that every request can be repeated. Truncation, above 0 to 2,
    scales the noise. Quality, 1 to 100, is for jpeg and webp. Raises HolofoilError.
    """
    first = secrets.randbelow(SEEDS) if seed is None else seed
    fixed = {
        "label": label,
        "truncation": truncation,
        "output_format": format,
        "output_compression": quality,
    }
    # What breaks a rule is sent all the same: the gateway knows the rules and says what to do.
    starts = range(0, n, MAX_ROWS) if n > MAX_ROWS else [0]
    return [
        Call(
            drawn,
            "POST",
            "/generate",
            json={
                "n": min(n - start, MAX_ROWS),
                "seed": (first + start) % SEEDS if start else first,
                **{name: value for name, value in fixed.items() if value is not None},
            },
        )
        for start in starts
    ]


def drawn(reply: Reply) -> list[Card]:
    """Read the answer of /generate."""
    drawing = read(Drawing, reply)
    return [
        Card(
            base64.b64decode(card.b64_json),
            card.media_type.removeprefix("image/"),
            card.seed,
            card.label,
            drawing.model.version,
        )
        for card in drawing.data
    ]


def score(pictures: Picture | Iterable[Picture]) -> list[Call[list[ScoredCard]]]:
    """Judge one picture or any number of them, in their order; if one cannot be read, none is judged.

    A picture is a path, the bytes of an image file, a Pillow image or a uint8 array (height, width, 3).
    Raises BadImage naming each that cannot be read, other HolofoilErrors, OSError for a missing file.
    """
    return [
        Call(partial(judged, start, batch), "POST", "/score", uploads=batch)
        for start, batch in batches(uploads_of(pictures))
    ]


def judged(start: int, batch: Sequence[Upload], reply: Reply) -> list[ScoredCard]:
    """Read the answer of /score about the uploads from start on."""
    try:
        judgement = read(Judgement, reply)
    except Refused as refused:
        raise among_all(start, batch, refused) from None
    if len(judgement.data) != len(batch):
        raise UnexpectedAnswer(f"{len(batch)} cards were sent and {len(judgement.data)} judged.")
    return [card.model_copy(update={"index": start + card.index}) for card in judgement.data]


def among_all(start: int, batch: Sequence[Upload], refused: Refused) -> Refused:
    """Name bad uploads by their own names and by their places among all, not among those of one request."""
    names: list[str] = []
    faults: list[Fault] = []
    for fault in refused.faults:
        found = re.fullmatch(r"/files/(\d{1,2})", fault.pointer)
        if not found or int(found[1]) >= len(batch):
            return refused
        place = int(found[1])
        names.append(f"{batch[place].name}: {fault.detail}")
        faults.append(fault.model_copy(update={"pointer": f"/files/{start + place}"}))
    if not faults:
        return refused
    problem = refused.problem.model_copy(update={"detail": " ".join(names), "errors": faults})
    return BadImage(problem, refused.retry_after)


def ready(wait: bool = False) -> Call[Readiness]:
    """Describe the models; `wait` asks until the time is over.

    Raises Busy where they are not ready, other HolofoilErrors where no gateway answers.
    """
    return Call(partial(read, Readiness), "GET", "/readyz", retries=sys.maxsize if wait else 0)


def read(model: type[M], reply: Reply) -> M:
    """Read an answer as JSON of a known form; raises Refused or UnexpectedAnswer."""
    if reply.status != 200:
        raise refusal(reply, retry_after(reply))
    try:
        return model.model_validate_json(reply.body)
    except ValidationError:
        raise UnexpectedAnswer(
            f"The address answered {reply.media_type} that is no {model.__name__}. "
            "Is this a Holofoil gateway's address, and is it as new as this client?"
        ) from None
