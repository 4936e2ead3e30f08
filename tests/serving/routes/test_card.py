"""GET /generate over real sockets: one card under an address of its own."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.noise import SEEDS
from tests.fakes.backend import FakeBackend
from tests.fakes.live import live
from tests.fakes.pictures import decode
from tests.serving.asking import client_of, is_problem

KINDS = ("elves", "Wälder, alt")


class CountingBackend(FakeBackend):
    """Counts its inferences."""

    calls = 0

    async def generate(self, noise, labels=None, *, deadline=None):
        self.calls += 1
        return await super().generate(noise, labels, deadline=deadline)


def test_the_card_is_the_one_that_post_draws(client):
    answer = client.get("/generate", params={"seed": 42, "truncation": 0.8, "format": "jpeg", "quality": 70})
    body = {"seed": 42, "truncation": 0.8, "output_format": "jpeg", "output_compression": 70}
    posted = client.post("/generate", json=body, headers={"Accept": "image/jpeg"})
    assert answer.status_code == 200
    assert answer.content == posted.content
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.headers["content-length"] == str(len(answer.content))
    assert answer.headers["cache-control"] == "public, max-age=86400"
    for name in ("x-seed", "x-model-version", "content-disposition"):
        assert answer.headers[name] == posted.headers[name]
    assert "vary" not in answer.headers  # the address alone decides


@pytest.mark.parametrize("accept", ["image/avif,image/webp,*/*;q=0.8", "text/html", "application/json"])
def test_the_address_decides_whatever_accept_says(client, accept):
    answer = client.get("/generate?seed=1", headers={"Accept": accept})
    assert answer.headers["content-type"] == "image/png"


def test_a_known_card_is_304_without_inference():
    backend = CountingBackend()
    with live(backend) as url, client_of(url) as client:
        first = client.get("/generate?seed=7")
        assert backend.calls == 1
        tag = first.headers["etag"]
        for known in (tag, f"W/{tag}", "*", f'"other", {tag}', f'W/"a,b" ,W/{tag}'):
            again = client.get("/generate?seed=7", headers={"If-None-Match": known})
            assert (again.status_code, again.content) == (304, b"")
            assert again.headers["etag"] == tag
            assert again.headers["cache-control"] == first.headers["cache-control"]
        assert backend.calls == 1
        for unknown in ('"other"', tag.strip('"'), tag[:-2] + '"', ""):
            assert client.get("/generate?seed=7", headers={"If-None-Match": unknown}).status_code == 200
        assert backend.calls == 5


def test_another_card_than_the_client_means_is_refused_without_inference():
    backend = CountingBackend()
    with live(backend) as url, client_of(url) as client:
        tag = client.head("/generate?seed=7").headers["etag"]
        for other in (f"W/{tag}", '"other"', tag.strip('"'), f'"other", W/{tag}', ""):
            for known in ({}, {"If-None-Match": tag}, {"If-None-Match": "*"}):
                refused = client.get("/generate?seed=7", headers={"If-Match": other, **known})
                is_problem(refused, 412, "precondition-failed")
        assert client.head("/generate?seed=7", headers={"If-Match": '"other"'}).status_code == 412
        both = {"If-Match": tag, "If-None-Match": tag}
        assert client.get("/generate?seed=7", headers=both).status_code == 304
        assert backend.calls == 0
        for same in (tag, "*", f'"other", {tag}', f"W/{tag} ,{tag}"):
            assert client.get("/generate?seed=7", headers={"If-Match": same}).status_code == 200
        listed = [("If-Match", '"other"'), ("If-Match", tag)]
        assert client.get("/generate?seed=7", headers=listed).status_code == 200


def test_a_head_tells_the_tag_without_inference():
    backend = CountingBackend()
    with live(backend) as url, client_of(url) as client:
        head = client.head("/generate?seed=7&format=webp")
        assert (head.status_code, head.content, backend.calls) == (200, b"", 0)
        got = client.get("/generate?seed=7&format=webp")
        for name in ("etag", "content-type", "cache-control", "content-disposition", "x-seed"):
            assert head.headers[name] == got.headers[name]
        assert "content-length" not in head.headers
        known = {"If-None-Match": got.headers["etag"]}
        assert client.head("/generate?seed=7&format=webp", headers=known).status_code == 304
        assert client.head("/generate?seed=-7").status_code == 422


def test_another_version_of_the_models_is_another_card():
    backend = CountingBackend()
    with live(backend) as url, client_of(url) as client:
        tag = client.get("/generate?seed=7").headers["etag"]
        backend.model = dataclasses.replace(backend.model, version="2")
        again = client.get("/generate?seed=7", headers={"If-None-Match": tag})
        assert again.status_code == 200
        assert again.headers["etag"] != tag
        assert again.headers["x-model-version"] == "2"


class ReplacedBackend(FakeBackend):
    """Has other models by the time that it draws."""

    async def generate(self, noise, labels=None, *, deadline=None):
        self.model = dataclasses.replace(self.model, version="2")
        return await super().generate(noise, labels, deadline=deadline)


def test_models_that_are_replaced_while_they_draw_draw_another_card():
    with live(ReplacedBackend()) as url, client_of(url) as client:
        tag = client.head("/generate?seed=7").headers["etag"]
        is_problem(client.get("/generate?seed=7", headers={"If-Match": tag}), 412, "precondition-failed")


@pytest.fixture(scope="module")
def kinds_client():
    with live(FakeBackend(classes=KINDS)) as url, client_of(url) as client:
        yield client


ADDRESSES = st.fixed_dictionaries(
    {"seed": st.sampled_from([0, 1, 2, SEEDS - 1])},
    optional={
        "truncation": st.sampled_from(["0.5", "1", "1.0", "1e0", "2"]),
        "label": st.sampled_from(KINDS),
        "format": st.sampled_from(["png", "jpeg", "webp"]),
    },
)


@given(ADDRESSES, ADDRESSES)
def test_cards_share_a_tag_if_and_only_if_they_are_the_same(kinds_client, one, other):
    first, second = (kinds_client.get("/generate", params=params) for params in (one, other))
    assert (first.headers["etag"] == second.headers["etag"]) == (first.content == second.content)
    assert {first.status_code, second.status_code} == {200}


def test_a_kind_is_named_in_the_query(kinds_client):
    blue, red = (kinds_client.get("/generate", params={"seed": 3, "label": kind}) for kind in KINDS)
    assert np.array_equal(decode(blue.content).card, decode(red.content).card[..., ::-1])
    assert red.headers["x-label"] == "W%C3%A4lder%2C%20alt"


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("", "/seed"),
        ("seed=", "/seed"),
        ("seed=-1", "/seed"),
        ("seed=4294967296", "/seed"),
        ("seed=" + "9" * 5000, "/seed"),
        ("seed=1.5", "/seed"),
        ("seed=4_2", "/seed"),
        ("seed=%2042", "/seed"),
        ("seed=%D9%A3", "/seed"),  # an Arabic three
        ("seed=1&seed=1", "/seed"),
        ("seed=1&colour=pink", "/colour"),
        ("seed=1&colour=", "/colour"),
        ("seed=1&%3Cb%3E=pink", ""),
        ("seed=1&truncation=nan", "/truncation"),
        ("seed=1&truncation=1e999", "/truncation"),
        ("seed=1&truncation=0", "/truncation"),
        ("seed=1&format=gif", "/format"),
        ("seed=1&format=png&quality=50", "/quality"),
        ("seed=1&format=jpeg&quality=0", "/quality"),
        ("seed=1&label=pink", "/label"),
    ],
)
def test_a_query_that_breaks_a_rule_is_refused_by_name(client, query, pointer):
    answer = client.get(f"/generate?{query}")
    problem = is_problem(answer, 422, "validation")
    assert [error["pointer"] for error in problem["errors"]] == [pointer]
    assert "pink" not in answer.text
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("query", ["seed=%", "seed=1&label=%zz", "label=%ff&seed=1", "seed=1&%C3=1"])
def test_a_query_that_cannot_be_read_is_refused(client, query):
    request = client.build_request("GET", "/generate")
    request.url = request.url.copy_with(raw_path=f"/generate?{query}".encode())
    is_problem(client.send(request), 400, "malformed-query")
