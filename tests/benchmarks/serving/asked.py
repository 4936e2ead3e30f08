"""Requests whose right answers are known beforehand."""

import base64
import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass

from tests.benchmarks.serving.connection import Answer, post
from tests.benchmarks.serving.references import References
from tests.fakes import pictures

SEEDS = 32  # references; a request for four cards stays below them

BOUNDARY = "fault"


@dataclass(frozen=True)
class Request:
    """Something to ask, and how to know a right answer."""

    bytes: bytes
    right: Callable[[Answer], bool]


class Asked:
    """Requests whose right answers are known, by clients who wait so many seconds."""

    def __init__(self, expected: References, wait: int = 10) -> None:
        self.expected = expected
        self.prefer = f"wait={wait}"
        self.files = [pictures.file(pictures.Image.fromarray(card)) for card in expected.cards]
        self.numbers = itertools.count()

    def next(self) -> Request:
        """Return a card, four cards and a score in turn, of one seed after another."""
        number = next(self.numbers)
        kind = (self.card, self.four, self.score)[number % 3]
        return kind(number // 3 % SEEDS)

    def card(self, seed: int) -> Request:
        """One card as PNG."""
        body = json.dumps({"seed": seed}).encode()
        return Request(
            post("/generate", body, "application/json", Accept="image/png", Prefer=self.prefer),
            lambda answer: self.expected.shows(seed, answer.body),
        )

    def four(self, seed: int) -> Request:
        """Four cards as JSON."""
        first = min(seed, SEEDS - 4)
        body = json.dumps({"seed": first, "n": 4}).encode()

        def right(answer: Answer) -> bool:
            files = [base64.b64decode(card["b64_json"]) for card in json.loads(answer.body)["data"]]
            shown = [self.expected.shows(first + place, file) for place, file in enumerate(files)]
            return shown == [True] * 4

        return Request(post("/generate", body, "application/json", Prefer=self.prefer), right)

    def score(self, seed: int) -> Request:
        """One score."""
        return Request(
            upload(self.files[seed], self.prefer),
            lambda answer: self.expected.judges(seed, json.loads(answer.body)["data"][0]["logit"]),
        )

    def large_score(self, seed: int) -> Request:
        """One score of a card whose file is 2 MB, for a chunk that nobody reads."""
        file = self.files[seed]
        padded = file[:-12] + pictures.chunk(b"paDd", bytes(2_000_000)) + file[-12:]
        return Request(upload(padded, self.prefer), self.score(seed).right)


def upload(file: bytes, prefer: str) -> bytes:
    """Write a request for the score of one file."""
    part = (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="files"; filename="card.png"\r\n\r\n'.encode()
    )
    body = part + file + f"\r\n--{BOUNDARY}--\r\n".encode()
    return post("/score", body, f"multipart/form-data; boundary={BOUNDARY}", Prefer=prefer)
