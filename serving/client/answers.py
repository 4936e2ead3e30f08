"""How the answer to each call is read: what came of it, or a HolofoilError."""

import base64
import re
from collections.abc import Sequence
from typing import TypeVar
from urllib.parse import unquote

from pydantic import BaseModel, ValidationError

from serving.bodies import Drawing, Judgement, ModelCard, Models, Problem, ScoredCard, UnreadCard
from serving.client.card import Card, ImageFile, JudgedCard
from serving.client.errors import BadImage, Refused, UnexpectedAnswer, refusal
from serving.client.message import Reply
from serving.client.patience import retry_after
from serving.client.upload import Upload
from serving.file_names import file_name

M = TypeVar("M", bound=BaseModel)

FILE = re.compile(r"/files/(\d{1,2})")
"""How a fault points to an upload."""


def drawn(start: int, count: int, reply: Reply) -> list[Card]:
    """Read the answer of POST /generate: `count` cards, of which the first is card `start`."""
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
    """Decode base64; raises UnexpectedAnswer for anything else."""
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise UnexpectedAnswer("The address answered cards that are not base64.") from None


def fetched(name: str, seed: int, reply: Reply) -> Card:
    """Read the answer of GET /generate."""
    file = image_file(name, reply)
    label = reply.headers.get("x-label")
    return Card(file.bytes, name, file.version, seed, None if label is None else unquote(label))


def image_file(name: str, reply: Reply) -> ImageFile:
    """Read an answer that is a picture; raises Refused or UnexpectedAnswer."""
    success(reply)
    if not reply.media_type.startswith("image/"):
        raise unexpected(reply, "picture")
    return ImageFile(reply.body, name, reply.headers.get("x-model-version", ""))


def judged(start: int, batch: Sequence[Upload], reply: Reply) -> list[JudgedCard]:
    """Read the answer of /score; the first upload is picture `start`."""
    found = looked_at(start, batch, reply)
    cards = [card for card in found if isinstance(card, JudgedCard)]
    if len(cards) != len(found):
        raise UnexpectedAnswer("The address judged some of the cards and not others, which nobody asked for.")
    return cards


def looked_at(start: int, batch: Sequence[Upload], reply: Reply) -> list[JudgedCard | UnreadCard]:
    """Read the answer of /score, readable or not; the first upload is picture `start`."""
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
    """Have a problem's pointers count from the first of all uploads."""
    faults = [
        fault.model_copy(
            update={"pointer": FILE.sub(lambda found: f"/files/{start + int(found[1])}", fault.pointer)}
        )
        for fault in problem.errors
    ]
    return problem.model_copy(update={"errors": faults})


def among_all(start: int, batch: Sequence[Upload], refused: Refused) -> Refused:
    """Name bad uploads by their own names, and by their places among all uploads, not only this request's."""
    places = [FILE.fullmatch(fault.pointer) for fault in refused.faults]
    names = [batch[int(place[1])].name for place in places if place and int(place[1]) < len(batch)]
    if not names or len(names) < len(places):
        return refused
    words = [f"{name}: {fault.detail}" for name, fault in zip(names, refused.faults, strict=True)]
    problem = placed(refused.problem, start).model_copy(update={"detail": " ".join(words)})
    return BadImage(problem, refused.retry_after)


def described(reply: Reply) -> list[ModelCard]:
    """Read the answer of /models."""
    return read(Models, reply).data


def read(model: type[M], reply: Reply) -> M:
    """Read an answer as JSON of this model; raises Refused or UnexpectedAnswer."""
    success(reply)
    try:
        return model.model_validate_json(reply.body)
    except ValidationError:
        raise unexpected(reply, model.__name__) from None


def success(reply: Reply) -> None:
    """Raise Refused or UnexpectedAnswer unless the answer is a success."""
    if reply.status != 200:
        raise refusal(reply, retry_after(reply))


def unexpected(reply: Reply, wanted: str) -> UnexpectedAnswer:
    """Return the error of an answer in another form, without repeating it."""
    return UnexpectedAnswer(
        f"The address answered {reply.media_type} that is no {wanted}. "
        "Is this a Holofoil gateway's address, and is it as new as this client?"
    )
