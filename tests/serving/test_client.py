"""The Python client against a gateway on real sockets, and against servers that misbehave."""

import asyncio
import copy
import inspect
import io
import json
import math
import os
import pickle
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving import patience
from serving.app import create_app
from serving.backend import BadAnswer, DeadlineExceeded, NotReady
from serving.bodies import CardQuery, GenerateBody, MorphBody, Problem, UnreadCard
from serving.client import (
    AsyncHolofoil,
    BadImage,
    BadRequest,
    Busy,
    Card,
    Failed,
    Holofoil,
    HolofoilError,
    NotAllowed,
    RateLimited,
    Refused,
    TooLate,
    UnexpectedAnswer,
    Unreachable,
    calls,
)
from serving.client.cache import MOST, AnswerCache
from serving.client.message import Call, Reply
from serving.client.patience import Attempt, Patience, Pause, persist, retry_after
from serving.client.upload import MAX_BYTES, Upload, batches
from serving.content import MAX_JSON
from serving.noise import SEEDS, draw
from serving.settings import Settings
from tests.fakes import pictures
from tests.fakes.backend import FakeBackend
from tests.fakes.live import live, serve
from tests.fakes.pictures import decode
from tests.fakes.script import Script, problem, reply, scripted

READY = {"version": "7", "noise_size": 8, "height": 70, "width": 50, "classes": []}
CARD = pictures.plain(70, 50)
NO_IMAGE = b"this is no image"


@pytest.fixture(scope="module")
def url():
    with live(FakeBackend(classes=("elves", "orcs"))) as url:
        yield url


@pytest.fixture
def client(url):
    with Holofoil(url) as client:
        yield client


# --- drawing


def test_cards_come_as_pictures_with_what_draws_them_again(client):
    (card,) = client.generate(seed=7, label="elves", truncation=0.5, format="webp", quality=80)
    assert (card.seed, card.label, card.name) == (7, "elves", "card-7.webp")
    assert card.version == FakeBackend().model.version
    assert (card.image.format, card.image.mode, card.image.size) == ("WEBP", "RGB", (50, 70))
    assert np.array_equal(np.asarray(card.image), decode(card.bytes).card)
    assert client.generate(seed=7, label="elves", truncation=0.5, format="webp", quality=80) == [card]


def test_more_cards_than_a_request_may_ask_for_are_those_of_single_requests(client):
    many = client.generate(37, seed=SEEDS - 20, label="elves")
    assert [card.seed for card in many] == [(SEEDS - 20 + i) % SEEDS for i in range(37)]
    for place in (0, 15, 16, 36):
        assert client.generate(seed=many[place].seed, label="elves") == [many[place]]


def test_without_a_seed_cards_form_one_series_and_another_each_time(client):
    seeds = [card.seed for card in client.generate(18)]
    assert seeds == [(seeds[0] + i) % SEEDS for i in range(18)]
    assert client.generate()[0].seed != client.generate()[0].seed


def test_every_field_of_a_request_can_be_given():
    seeded = calls.sheet(2, 3, "elves", 0.5, format="jpeg", quality=5).json or {}
    noise = calls.sheet(noise=[0.0] * 12).json or {}
    assert {*seeded, *noise} == set(GenerateBody.model_fields)
    assert GenerateBody.model_validate(seeded)
    moving = calls.morph([1, 2], "elves", 0.5, frames=3, milliseconds=50, loop=False).json or {}
    assert set(moving) == set(MorphBody.model_fields)
    assert set(calls.card(3, "elves", 0.5, format="jpeg", quality=5).query) == set(CardQuery.model_fields)


def test_numbers_may_be_those_of_numpy_and_not_words(client):
    drawn = client.generate(
        np.int64(2), np.uint32(3), "elves", np.float32(0.5), format="webp", quality=np.int8(5)
    )
    assert drawn == client.generate(2, 3, "elves", 0.5, format="webp", quality=5)
    assert client.generate(np.int64(17), np.uint32(3), "elves")[16].seed == 19
    assert client.card(np.int64(3), "elves", np.float32(0.5)) == client.card(3, "elves", 0.5)
    moving = client.morph(np.array([7, 42]), "elves", frames=np.int64(2), loop=np.False_)
    assert moving == client.morph([7, 42], "elves", frames=2, loop=False)
    for ask in (client.card, lambda seed: client.generate(seed=seed), lambda seed: client.morph([seed, 1])):
        with pytest.raises(TypeError, match="'str' object cannot be interpreted as an integer"):
            ask("7")


def test_no_card_at_all_is_refused_by_the_gateway(client):
    with pytest.raises(BadRequest, match="greater than or equal to 1"):
        client.generate(0)


def test_noise_of_the_largest_models_fits_into_a_body():
    (call,) = calls.generate(noise=draw(0, 16, 256))
    assert len(json.dumps(call.json)) < MAX_JSON


def test_a_card_is_saved_under_its_name_or_another_and_not_over_a_file(client, tmp_path):
    (card,) = client.generate(seed=9)
    assert card.save(tmp_path) == tmp_path / "card-9.png"
    assert card.save(tmp_path / "other.png").read_bytes() == card.bytes
    with pytest.raises(FileExistsError):
        card.save(tmp_path, overwrite=False)
    assert "bytes" not in repr(card)


def test_noise_of_ones_own_is_drawn_in_any_number(client):
    noise = np.random.default_rng(0).standard_normal((20, 12)).astype(np.float32)
    cards = client.generate(noise=noise, label="elves")
    assert [card.name for card in cards] == [f"card-{i}.png" for i in range(20)]
    assert {card.seed for card in cards} == {None}
    (alone,) = client.generate(noise=list(noise[17]), label="elves")
    assert alone.bytes == cards[17].bytes != cards[16].bytes
    (seeded,) = client.generate(seed=3, label="elves")
    assert client.generate(noise=draw(3, 1, 12), label="elves")[0].bytes == seeded.bytes
    with pytest.raises(ValueError, match="leave out n, seed and truncation"):
        client.generate(seed=1, noise=noise)


def test_a_contact_sheet_is_one_picture(client):
    sheet = client.sheet(9, seed=4, label="elves", format="jpeg", quality=50)
    assert sheet.name == "sheet-4.jpg"
    assert sheet.image.format == "JPEG"
    assert sheet.image.width > 3 * 50
    assert client.sheet(noise=np.zeros((2, 12)), label="orcs").name == "sheet-0.png"
    with pytest.raises(BadRequest, match="less than or equal to 16"):
        client.sheet(17)


def test_cards_turn_into_each_other(client):
    moving = client.morph([7, 42], "elves", frames=3, milliseconds=50, loop=False)
    assert moving.name == "morph-7-42.webp"
    assert moving.image.n_frames == 4
    round_trip = client.morph([7, 42, 3], "elves", frames=2, format="gif")
    assert (round_trip.name, round_trip.image.format) == ("morph-7-3.gif", "GIF")
    lossless = client.morph([7, 42], "elves", frames=2, format="apng")
    assert (lossless.name, lossless.image.format, lossless.image.n_frames) == ("morph-7-42.png", "PNG", 4)
    with pytest.raises(BadRequest, match="seeds"):
        client.morph([7])


def test_the_models_are_described(client):
    generator, discriminator = client.models()
    assert (generator.name, discriminator.name) == ("generator", "discriminator")
    assert (generator.noise_size, generator.classes) == (12, ["elves", "orcs"])


class CountingBackend(FakeBackend):
    """Counts what it draws, and takes its time."""

    def __init__(self) -> None:
        super().__init__(classes=("elves", "gob lins é"))
        self.drawn = 0

    async def generate(self, noise, labels=None, *, deadline=None):
        self.drawn += len(noise)
        await asyncio.sleep(0.05)
        return await super().generate(noise, labels, deadline=deadline)


class InHand:
    """An application that counts how many requests it has in hand at once."""

    def __init__(self, app):
        self.app = app
        self.now = self.most = 0

    async def __call__(self, scope, receive, send):
        self.now += scope["type"] == "http"
        self.most = max(self.most, self.now)
        try:
            await self.app(scope, receive, send)
        finally:
            self.now -= scope["type"] == "http"


async def test_a_card_that_was_fetched_is_drawn_again_only_by_other_models():
    backend = CountingBackend()
    with live(backend) as url:
        with Holofoil(url) as client:
            card = client.card(7, "gob lins é", 0.5, format="webp", quality=50)
            assert [card] == client.generate(
                seed=7, label="gob lins é", truncation=0.5, format="webp", quality=50
            )
            drawn = backend.drawn
            assert client.card(7, "gob lins é", 0.5, format="webp", quality=50) == card
            assert backend.drawn == drawn
            assert client.card(8).seed == 8
            backend.model = replace(backend.model, version="20270101000000")
            assert client.card(8).version == "20270101000000"
            assert backend.drawn == drawn + 2
        async with AsyncHolofoil(url) as client:
            assert [await client.card(8), await client.card(8)] == 2 * [await client.card(8)]
            assert backend.drawn == drawn + 3


def test_a_label_that_no_address_can_hold_is_told(client):
    with pytest.raises(ValueError, match="cannot be asked by an address"):
        client.card(7, "x" * 70_000)


# --- judging


def test_pictures_from_anywhere_are_judged_alike_and_in_order(client, tmp_path):
    path = tmp_path / "dark.png"
    path.write_bytes(pictures.file(CARD))
    array = np.asarray(CARD)
    light = np.full_like(array, 250)
    content = path.read_bytes()
    judged = client.score([path, str(path), content, CARD, array, light])
    assert [card.index for card in judged] == list(range(6))
    assert [card.filename for card in judged] == ["dark.png", "dark.png", "2", "3.png", "4.png", "5.png"]
    assert len({card.logit for card in judged[:5]}) == 1
    assert judged[5].logit > judged[0].logit
    for alone in (path, array, bytearray(content), memoryview(content), CARD.convert("RGBA")):
        assert client.score(alone)[0].logit == judged[0].logit
    assert [card.logit for card in client.score(np.stack([array, light]))] == [
        judged[4].logit,
        judged[5].logit,
    ]


def test_more_pictures_than_a_request_may_carry_are_judged_as_alone(client):
    shades = [np.full((70, 50, 3), 6 * i, np.uint8) for i in range(40)]
    judged = client.score(shades)
    assert [card.index for card in judged] == list(range(40))
    assert [card.percentile for card in judged] == sorted(card.percentile for card in judged)
    assert judged[33].logit == client.score(shades[33])[0].logit


def test_bad_pictures_are_named_by_their_places_among_all(client, tmp_path):
    bad = tmp_path / "notes.txt"
    bad.write_bytes(NO_IMAGE)
    with pytest.raises(BadImage, match=r"notes\.txt: The file is none of") as caught:
        client.score([CARD] * 20 + [bad])
    assert [fault.pointer for fault in caught.value.faults] == ["/files/20"]
    assert caught.value.status == 415
    assert caught.value.kind == "unsupported-image"


def test_leniently_the_others_are_judged(client):
    found = client.score_lenient([CARD] * 17 + [NO_IMAGE, CARD])
    assert [card.index for card in found] == list(range(19))
    bad = found.pop(17)
    assert isinstance(bad, UnreadCard)
    assert bad.error.errors[0].pointer == "/files/17"
    assert found[17].model_copy(update={"index": 0, "filename": "0.png"}) == client.score(CARD)[0]


def test_a_file_whose_name_is_no_utf_8_is_judged(client, tmp_path):
    path = tmp_path / os.fsdecode(b"caf\xe9.png")
    path.write_bytes(pictures.file(CARD))
    assert client.score(path)[0].filename == "caf\ufffd.png"


def test_what_is_no_picture_is_told_before_anything_is_sent(client, tmp_path):
    with pytest.raises(FileNotFoundError):
        client.score([CARD, tmp_path / "none.png"])
    with pytest.raises(TypeError):
        client.score([None])
    with pytest.raises(TypeError, match="scale its values"):
        client.score(np.zeros((70, 50, 3), np.float32))
    with pytest.raises(TypeError, match=r"not uint8 \(70, 50\)"):
        client.score(np.zeros((70, 50), np.uint8))
    for files in (io.BytesIO(pictures.file(CARD)), [io.BytesIO(pictures.file(CARD))]):
        with pytest.raises(TypeError, match=r"give its path, or what its read\(\) returns"):
            client.score(files)


def test_nothing_to_judge_or_draw_is_told_before_anything_is_sent():
    with Holofoil("http://127.0.0.1:9") as client:
        for judge in (client.score, client.score_lenient):
            with pytest.raises(ValueError, match="no picture to judge"):
                judge([])
        for draw_from in (client.generate, client.sheet):
            with pytest.raises(ValueError, match="no rows"):
                draw_from(noise=np.empty((0, 12)))
            for noise in (np.zeros((1, 1, 12)), [math.nan] * 12):
                with pytest.raises(ValueError, match="finite numbers"):
                    draw_from(noise=noise)


@given(st.lists(st.integers(0, MAX_BYTES * 2), max_size=60))
def test_batches_hold_all_uploads_in_order_and_none_holds_too_many(sizes):
    uploads = [Upload(str(index), b"", size) for index, size in enumerate(sizes)]
    cut = list(batches(uploads))
    assert [upload for _, batch in cut for upload in batch] == uploads
    for start, batch in cut:
        assert list(batch) == uploads[start : start + len(batch)]
        assert len(batch) <= 16
        assert len(batch) <= 1 or sum(upload.size for upload in batch) <= MAX_BYTES


def test_what_a_request_carries_is_less_than_a_gateway_takes():
    assert Settings().max_body > MAX_BYTES + 16 * 1024  # the names and edges of 16 files


# --- both clients


async def test_the_async_client_gives_what_the_other_gives(url, client):
    async with AsyncHolofoil(url) as other:
        drawn, judged, ready = await asyncio.gather(
            other.generate(37, seed=5), other.score([CARD] * 20), other.ready()
        )
        assert drawn == client.generate(37, seed=5)
        assert judged == client.score([CARD] * 20)
        assert ready == client.ready()
        with pytest.raises(BadImage) as caught:
            await other.score([CARD] * 20 + [NO_IMAGE])
        assert caught.value.faults[0].pointer == "/files/20"


def test_both_clients_have_the_same_methods_and_describe_them():
    names = [name for name in vars(Holofoil) if inspect.isfunction(vars(calls).get(name))]
    assert {"generate", "card", "sheet", "morph", "score", "models", "ready"} <= set(names)
    for name in names:
        described = inspect.signature(getattr(Holofoil, name))
        assert described == inspect.signature(getattr(AsyncHolofoil, name))
        assert list(described.parameters) == ["self", *inspect.signature(getattr(calls, name)).parameters]
        assert "Raises" in (inspect.getdoc(getattr(Holofoil, name)) or "")
    assert inspect.signature(Holofoil.generate).return_annotation == list[Card]


async def test_no_more_requests_are_under_way_than_were_allowed():
    settings = Settings()
    counted = InHand(create_app(settings, CountingBackend()))
    with serve(counted, settings) as url:
        async with AsyncHolofoil(url, concurrency=3) as client:
            assert len(await client.generate(12 * 16)) == 12 * 16
    assert 2 <= counted.most <= 3


# --- refusals


@pytest.mark.parametrize(
    ("failure", "expected"),
    [(NotReady("Later."), Busy), (DeadlineExceeded("Late."), TooLate), (BadAnswer("Bad."), Failed)],
)
def test_what_fails_in_the_gateway_is_an_exception_of_its_own(failure, expected):
    with (
        live(FakeBackend(failure)) as url,
        Holofoil(url, retries=0) as client,
        pytest.raises(expected) as caught,
    ):
        client.generate()
    error = caught.value
    assert error.detail == str(error) == str(failure)
    assert error.request_id
    assert (error.retry_after is not None) == (expected is Busy)


def test_a_broken_rule_is_told_as_the_gateway_told_it(client):
    with pytest.raises(BadRequest) as caught:
        client.generate(0, truncation=3.0)
    assert caught.value.status == 422
    assert {fault.pointer for fault in caught.value.faults} == {"/n", "/truncation"}


@pytest.mark.parametrize(
    ("status", "name", "expected"),
    [
        (401, "unauthenticated", NotAllowed),
        (403, "forbidden", NotAllowed),
        (413, "too-large", BadRequest),
        (422, "not-invented-yet", BadRequest),
        (429, "rate-limited", RateLimited),
        (500, "internal", Failed),
        (503, "draining", Busy),
    ],
)
def test_a_problem_chooses_its_exception(status, name, expected):
    with (
        scripted([problem(name, status, "Because.")]) as server,
        Holofoil(server.url, retries=0) as client,
        pytest.raises(expected, match="Because") as caught,
    ):
        client.ready()
    assert (caught.value.kind, caught.value.status) == (name, status)
    assert isinstance(caught.value, Refused)


PROBLEM = Problem(type="/problems/any", title="Any", status=400, detail="No.", instance="abc", errors=[])
REFUSALS = [BadRequest, BadImage, NotAllowed, RateLimited, Busy, TooLate, Failed, Refused]


@pytest.mark.parametrize(
    "error",
    [kind("No.") for kind in (HolofoilError, Unreachable, UnexpectedAnswer)]
    + [kind(PROBLEM, 2.5) for kind in REFUSALS],
)
def test_every_exception_passes_between_processes_with_all_it_says(error):
    error.add_note("of the tenth card")
    for other in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert (type(other), str(other), vars(other)) == (type(error), "No.", vars(error))


# --- retries


def gaps(server: Script) -> list[float]:
    moments = [asked.at for asked in server.asked]
    return [later - earlier for earlier, later in pairwise(moments)]


BUSY = problem("overloaded", 503, "Full.", Retry_After="1")


def test_a_busy_gateway_is_asked_again_when_it_said():
    with scripted([BUSY, BUSY, reply(READY)]) as server, Holofoil(server.url, retries=0) as client:
        assert client.ready(wait=True).version == "7"
    assert len(server.asked) == 3
    assert all(gap >= 1 for gap in gaps(server))


async def test_the_async_client_waits_as_long():
    with scripted([BUSY, reply(READY)]) as server:
        async with AsyncHolofoil(server.url) as client:
            assert (await client.ready(wait=True)).version == "7"
    assert gaps(server)[0] >= 1


def test_a_pause_longer_than_the_time_left_is_not_begun():
    answer = problem("overloaded", 503, Retry_After="3600")
    with scripted([answer]) as server, Holofoil(server.url, timeout=5) as client:
        began = time.monotonic()
        with pytest.raises(Busy) as caught:
            client.generate()
    assert time.monotonic() - began < 2
    assert caught.value.retry_after == 3600
    assert len(server.asked) == 1


def cut() -> bytes:
    """An answer that ends in the middle."""
    return reply(READY)[:-20]


@pytest.mark.parametrize("broken", [cut(), b""])
def test_a_connection_that_breaks_is_tried_again(broken):
    with scripted([broken, reply(READY)]) as server, Holofoil(server.url) as client:
        assert client.ready(wait=True).version == "7"
    assert len(server.asked) == 2


@pytest.mark.parametrize("broken", [cut(), b""])
async def test_a_connection_that_always_breaks_is_given_up(broken):
    with scripted([broken]) as server:
        with Holofoil(server.url, retries=2) as client, pytest.raises(Unreachable, match="broke off"):
            client.generate(seed=1)
        assert len(server.asked) == 3
        assert len({asked.body for asked in server.asked}) == 1
        async with AsyncHolofoil(server.url, retries=1) as client:
            with pytest.raises(Unreachable, match="broke off"):
                await client.generate(seed=1)


@pytest.mark.parametrize("status", [429, 503, 504])
def test_what_may_succeed_later_is_tried_again(status):
    later = problem("whatever", status, Retry_After="0")
    with scripted([later, drawing("bm8=")]) as server, Holofoil(server.url) as client:
        assert client.generate(seed=5)[0].bytes == b"no"
    assert len(server.asked) == 2


@pytest.mark.parametrize("status", [400, 422, 500, 502])
def test_no_other_status_is_tried_again(status):
    answer = problem("whatever", status, Retry_After="0")
    with scripted([answer]) as server, Holofoil(server.url) as client, pytest.raises(Refused):
        client.generate(seed=1)
    assert len(server.asked) == 1


async def test_html_is_no_answer():
    page = reply(b"<html>Welcome to nginx</html>", media_type="text/html; charset=utf-8")
    with scripted([page]) as server:
        with Holofoil(server.url) as client, pytest.raises(UnexpectedAnswer, match="text/html"):
            client.generate()
        assert len(server.asked) == 1
        async with AsyncHolofoil(server.url) as client:
            with pytest.raises(UnexpectedAnswer, match="text/html"):
                await client.ready()


DRAWN = {"index": 0, "seed": 5, "label": None, "media_type": "image/png", "width": 50, "height": 70}


def drawing(text: str) -> bytes:
    """Answer with one card that is this base64."""
    model = {"name": "generator", "version": "7"}
    return reply({"id": "gen_1", "created": 1, "model": model, "data": [{**DRAWN, "b64_json": text}]})


def test_what_is_no_picture_is_no_card():
    with scripted([reply(READY)]) as server, Holofoil(server.url) as client:
        for ask in (lambda: client.card(7), client.sheet, lambda: client.morph([1, 2])):
            with pytest.raises(UnexpectedAnswer, match="application/json that is no picture"):
                ask()


def test_cards_that_are_too_few_or_no_base64_are_no_answer():
    with (
        scripted([drawing("bm8="), drawing("bm8="), drawing("bm8")]) as server,
        Holofoil(server.url) as client,
    ):
        assert client.generate(1)[0].bytes == b"no"
        with pytest.raises(UnexpectedAnswer, match="2 cards were asked for and 1 drawn"):
            client.generate(2)
        with pytest.raises(UnexpectedAnswer, match="base64"):
            client.generate(1)


def test_a_proxy_that_refuses_in_html_is_understood_by_its_status():
    page = reply(b"<html>503</html>", 503, "text/html")
    with scripted([page, page, reply(READY)]) as server, Holofoil(server.url) as client:
        assert client.ready(wait=True)
    with (
        scripted([page]) as server,
        Holofoil(server.url, retries=0) as client,
        pytest.raises(Busy, match="without saying why"),
    ):
        client.ready()


@pytest.mark.parametrize(
    ("status", "expected"), [(401, NotAllowed), (403, NotAllowed), (429, RateLimited), (504, TooLate)]
)
def test_a_proxy_that_keeps_a_request_to_itself_is_told_by_its_status_and_id(status, expected):
    page = reply(b"<html>No</html>", status, "text/html", X_Request_ID="of-the-proxy")
    with (
        scripted([page]) as server,
        Holofoil(server.url, retries=0) as client,
        pytest.raises(expected) as caught,
    ):
        client.ready()
    assert caught.value.request_id == "of-the-proxy"


def test_unchanged_is_no_answer_to_who_has_none():
    with (
        scripted([reply(status=304)]) as server,
        Holofoil(server.url) as client,
        pytest.raises(UnexpectedAnswer, match="304"),
    ):
        client.card(7)


def test_a_redirection_is_not_followed_since_the_key_would_go_along():
    away = reply(status=302, Location="http://127.0.0.1:9/")
    with (
        scripted([away]) as server,
        Holofoil(server.url, key="secret") as client,
        pytest.raises(UnexpectedAnswer, match="302"),
    ):
        client.ready()


async def test_a_gateway_that_never_answers_costs_the_timeout_and_no_more():
    with scripted([None]) as server:
        began = time.monotonic()
        with Holofoil(server.url, timeout=0.5) as client, pytest.raises(Unreachable, match=r"within 0\.5"):
            client.ready()
        async with AsyncHolofoil(server.url, timeout=0.5) as client:
            with pytest.raises(Unreachable, match=r"within 0\.5"):
                await client.ready()
        assert 1 <= time.monotonic() - began < 5


LATE = [b""] * 7 + [reply(READY)[:-20]] + [b""] * 20
DRIPPED = [bytes([byte]) for byte in reply(READY)]


def waited(client: Holofoil) -> float:
    """Ask what does not answer in 0.4 s; return the seconds that it took."""
    began = time.monotonic()
    with pytest.raises(Unreachable, match=r"within 0\.4"):
        client.ready()
    return time.monotonic() - began


@pytest.mark.parametrize("slow", [LATE, DRIPPED], ids=["late, then stalled", "dripped"])
def test_a_slow_answer_costs_the_timeout_and_no_more(slow):
    with scripted([slow]) as server, Holofoil(server.url, timeout=0.4) as client:
        assert 0.4 <= waited(client) < 0.7


def test_a_slow_proxy_costs_the_timeout_and_no_more(monkeypatch):
    tunnel = [b""] * 7 + [b"HTTP/1.1 200 OK\r\n\r\n"] + [b""] * 20
    with scripted([tunnel]) as proxy:
        monkeypatch.setenv("ALL_PROXY", proxy.url)
        with Holofoil("https://gateway.test", timeout=0.4) as client:
            assert 0.4 <= waited(client) < 0.7
    assert proxy.asked[0].line == "CONNECT gateway.test:443 HTTP/1.1"


def test_a_connection_that_is_used_again_is_timed_anew():
    kept = reply(READY, Connection="keep-alive")
    with scripted([kept, kept, LATE]) as server, Holofoil(server.url, timeout=0.4) as client:
        client.ready()
        time.sleep(0.3)
        client.ready()
        assert 0.4 <= waited(client) < 0.7
        assert len({asked.client for asked in server.asked}) == 1


async def test_the_async_client_uses_a_connection_again():
    kept = reply(READY, Connection="keep-alive")
    with scripted([kept]) as server:
        async with AsyncHolofoil(server.url) as client:
            for _ in range(3):
                await client.ready()
    assert len({asked.client for asked in server.asked}) == 1


async def test_who_waits_for_a_file_that_is_slow_to_read_holds_up_nobody(url, tmp_path):
    slow = tmp_path / "slow.png"
    os.mkfifo(slow)
    writing = threading.Timer(1, slow.write_bytes, [pictures.file(CARD)])
    async with AsyncHolofoil(url) as client:
        writing.start()
        began = time.monotonic()
        judging = asyncio.ensure_future(client.score(slow))
        await client.ready()
        assert time.monotonic() - began < 0.9
        assert len(await judging) == 1
    writing.join()


def test_threads_that_share_a_client_each_have_the_whole_timeout():
    with (
        scripted([LATE]) as server,
        Holofoil(server.url, timeout=0.4) as client,
        ThreadPoolExecutor() as threads,
    ):
        times = []
        for _ in range(4):
            times.append(threads.submit(waited, client))
            time.sleep(0.1)
        assert all(0.4 <= seconds.result() < 0.7 for seconds in times)


def test_nobody_listening_is_told_with_the_address():
    with (
        Holofoil("http://127.0.0.1:9", retries=0) as client,
        pytest.raises(Unreachable, match=r"http://127\.0\.0\.1:9 cannot be reached"),
    ):
        client.ready()


def test_the_gateway_is_told_the_time_and_the_key_but_nobody_else():
    with scripted([reply(READY)]) as server, Holofoil(server.url, key="s3cret", timeout=12) as client:
        client.ready()
        assert "s3cret" not in repr(client)
    (asked,) = server.asked
    assert asked.headers["authorization"] == "Bearer s3cret"
    assert asked.headers["user-agent"].startswith("holofoil/")
    assert asked.headers["prefer"] in ("wait=11", "wait=12")


@pytest.mark.parametrize(("timeout", "wait"), [(3600, patience.LONGEST), (0.9, 1)])
def test_a_gateway_is_never_asked_to_wait_longer_than_it_would_or_not_at_all(timeout, wait):
    with scripted([reply(READY)]) as server, Holofoil(server.url, timeout=timeout) as client:
        client.ready()
    assert server.asked[0].headers["prefer"] == f"wait={wait}"


def test_answers_are_kept_in_bounds_and_by_when_they_were_asked_for():
    memory, answer = AnswerCache(), Reply(200, {"etag": '"a"'}, b"")
    for number in range(MOST + 1):
        memory.keep(f"/{number}", answer)
        assert memory.recall("/0") == answer
    assert memory.recall("/1") is None
    assert len(memory.kept) == MOST
    for other in (
        replace(answer, status=404),
        replace(answer, headers={**answer.headers, "cache-control": "no-store"}),
    ):
        memory.keep("/other", other)
        assert memory.recall("/other") is None


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), 1e10])
def test_a_timeout_that_is_no_time_is_refused(seconds):
    with pytest.raises(ValueError, match="timeout is seconds above 0"):
        Holofoil("http://127.0.0.1:9", timeout=seconds)
    with pytest.raises(ValueError, match="timeout is seconds above 0"):
        AsyncHolofoil("http://127.0.0.1:9", timeout=seconds)


def test_a_day_is_a_timeout():
    with scripted([reply(READY)]) as server, Holofoil(server.url, timeout=86_400) as client:
        assert client.ready()


def test_fewer_retries_than_none_and_less_than_one_request_at_a_time_are_refused():
    with pytest.raises(ValueError, match="retries are a number of 0 or more, not -1"):
        Holofoil("http://127.0.0.1:9", retries=-1)
    with pytest.raises(ValueError, match="concurrency is a number of 1 or more, not 0"):
        AsyncHolofoil("http://127.0.0.1:9", concurrency=0)


@pytest.mark.parametrize("key", ["", "line\nbreak", "two words", "é"])
def test_a_key_that_no_header_can_carry_is_refused_and_not_repeated(key):
    with pytest.raises(ValueError, match="The key has characters") as caught:
        Holofoil("http://127.0.0.1:9", key=key)
    assert not key or key not in str(caught.value)


@pytest.mark.parametrize("address", ["localhost:8000", "", "ftp://host", "http://", "http://[::"])
def test_an_address_that_is_none_is_told_at_once(address):
    with pytest.raises(ValueError, match="address"):
        Holofoil(address)


def test_proxies_that_are_none_are_told_without_their_passwords(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://user:s3cret/@host")
    for kind in (Holofoil, AsyncHolofoil):
        with pytest.raises(ValueError, match="holds what is no address") as caught:
            kind("http://127.0.0.1:9")
        assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "address",
    ["http://user:s3cret@host", "http://s3cret@host", "http://user:s3cret/@host", "http://:s3cret@[::"],
)
def test_an_address_with_a_password_is_refused_and_not_repeated(address):
    with pytest.raises(ValueError, match="name the key with key=") as caught:
        Holofoil(address)
    assert "s3cret" not in str(caught.value)


# --- the decision alone, by a clock of its own


def tried(outcomes: list[Reply | Unreachable], patience: Patience, chance: float = 1.0):
    """Play outcomes to persist; return the pauses and how it ended."""
    now = 0.0
    pauses: list[float] = []
    steps = persist(Call(lambda reply: reply, "GET", "/"), patience, lambda: now, lambda: chance)
    outcome = None
    left = iter(outcomes)
    while True:
        try:
            step = steps.send(outcome)
        except StopIteration as end:
            return pauses, end.value, now
        except Unreachable as error:
            return pauses, error, now
        if isinstance(step, Pause):
            pauses.append(step.seconds)
            now += step.seconds
            outcome = None
        else:
            assert isinstance(step, Attempt)
            assert step.seconds == patience.timeout - now
            outcome = next(left)


OUTCOMES = st.one_of(
    st.builds(
        lambda status, seconds: Reply(status, {} if seconds is None else {"retry-after": str(seconds)}, b""),
        st.sampled_from([200, 304, 400, 429, 500, 502, 503, 504]),
        st.none() | st.integers(0, 20),
    ),
    st.builds(Unreachable, st.just("cut")),
)


@given(
    st.lists(OUTCOMES, min_size=12, max_size=12),
    st.floats(0.1, 60),
    st.integers(0, 9),
    st.floats(0, 1),
)
def test_it_never_comes_back_early_or_late_or_once_too_often(outcomes, timeout, retries, chance):
    pauses, ended, now = tried(outcomes, Patience(timeout, retries), chance)
    assert len(pauses) <= retries
    assert now < timeout
    assert ended is outcomes[len(pauses)]
    for outcome, pause in zip(outcomes, pauses, strict=False):
        assert isinstance(outcome, Unreachable) or outcome.status in (429, 503, 504)
        if isinstance(outcome, Reply) and "retry-after" in outcome.headers:
            asked = float(outcome.headers["retry-after"])
            assert asked <= pause <= 1.2 * asked
        else:
            assert 0 <= pause <= 8


def test_pauses_that_nobody_named_grow_to_eight_seconds():
    pauses, _, _ = tried([Unreachable("cut")] * 9, Patience(100, 7))
    assert pauses == [0.5, 1, 2, 4, 8, 8, 8]
    assert len(tried([Unreachable("cut")] * 1100, Patience(10_000, 1090))[0]) == 1090


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        *[("3", 3), (" 0 ", 0), ("9" * 5000, math.inf)],
        *[(value, None) for value in ("soon", "", "-1", "²", "1.5", f"1 Jan {'9' * 20} 00:00:00 GMT")],
    ],
)
def test_retry_after_is_seconds(value, expected):
    assert retry_after(Reply(503, {"retry-after": value}, b"")) == expected


def test_retry_after_may_be_a_date():
    moment = datetime.now(UTC) + timedelta(seconds=90)
    seconds = retry_after(Reply(503, {"retry-after": format_datetime(moment, usegmt=True)}, b""))
    assert seconds is not None
    assert 85 < seconds <= 90
    for zone in ("GMT", "-0000"):  # the latter is a time in UTC that is said to be of no zone
        past = f"Sun, 06 Nov 1994 08:49:37 {zone}"
        assert retry_after(Reply(503, {"retry-after": past}, b"")) == 0


# --- what it needs


def ran(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_importing_the_client_imports_no_server_and_no_tensorflow():
    done = ran("import sys, serving.client; print(*{name.partition('.')[0] for name in sys.modules})")
    roots = set(done.stdout.split())
    assert {"httpx", "pydantic", "PIL"} <= roots
    assert not roots & {
        "fastapi",
        "starlette",
        "uvicorn",
        "grpc",
        "google",
        "tensorflow",
        "keras",
        "training",
    }


def test_without_httpx_it_says_what_to_install():
    done = ran("import sys; sys.modules['httpx'] = None; import serving.client")
    assert done.returncode == 1
    assert (
        done.stderr.splitlines()[-1] == "ImportError: The client needs httpx: pip install 'holofoil[client]'"
    )
