"""GET /problems/<name> over real sockets: every problem's type is an address that explains it."""

import html
import re

import pytest

from serving.problems import KINDS
from tests.serving.asking import is_problem


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_problem_is_explained_to_programs_and_people(client, kind):
    answer = client.get(kind.type)
    assert answer.json() == {
        "type": kind.type,
        "title": kind.title,
        "status": kind.status,
        "cure": kind.cure,
    }
    assert re.fullmatch(r"[A-Z/\d].{20,}\.", kind.cure)
    page = client.get(kind.type, headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert kind.title in html.unescape(page.text)
    assert page.headers["vary"] == "Accept"


def test_a_problem_leads_to_its_own_explanation(client):
    told = is_problem(client.post("/generate", json={"n": 0}), 422, "validation")
    assert client.get(told["type"]).json()["title"] == told["title"]


def test_an_unknown_problem_is_one(client):
    is_problem(client.get("/problems/boredom"), 404, "not-found")
    is_problem(client.get("/problems/"), 404, "not-found")
    is_problem(client.get("/problems/validation", headers={"Accept": "image/png"}), 406, "not-acceptable")
