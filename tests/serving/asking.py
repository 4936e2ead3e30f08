"""Asking a live gateway, and what holds of every problem it answers with."""

import re

import httpx

from tests.fakes import pictures
from tests.fakes.backend import FakeBackend

CARD = pictures.file(pictures.plain(70, 50))
VERSION = FakeBackend().model.version


def client_of(url: str) -> httpx.Client:
    return httpx.Client(base_url=url, trust_env=False, timeout=30)


def files(*contents: bytes) -> list[tuple[str, tuple[str, bytes]]]:
    return [("files", (f"{index}.png", content)) for index, content in enumerate(contents)]


def is_problem(answer: httpx.Response, status: int, name: str) -> dict:
    """Check everything that holds for any problem, and return it."""
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["type"] == f"/problems/{name}"
    assert problem["status"] == status
    assert problem["title"]
    assert problem["detail"].endswith(".")
    assert problem["instance"] == answer.headers["x-request-id"]
    assert not re.search(r"Traceback|File \"|\.py|Error\b", answer.text)
    return problem
