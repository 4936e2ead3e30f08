"""POST /score over real sockets."""

import concurrent.futures
import hashlib
import statistics
import time

import pytest

from serving.settings import Settings
from tests.fakes import pictures
from tests.fakes.backend import FakeBackend
from tests.fakes.live import live
from tests.fakes.pictures import decode
from tests.serving.asking import CARD, VERSION, client_of, files, is_problem


def test_uploads_are_scored_in_their_order(client):
    dark = pictures.file(pictures.plain(70, 50, (9, 9, 9)), "JPEG")
    wide = pictures.turned(6)
    answer = client.post(
        "/score",
        files=[("files", ("käfer.png", CARD)), ("files", ("dark", dark)), ("files", ("wide.jpg", wide))],
    )
    assert answer.status_code == 200
    assert answer.headers["x-model-version"] == VERSION
    assert answer.json()["model"] == {"name": "discriminator", "version": VERSION}
    first, second, third = answer.json()["data"]
    assert first["filename"] == "käfer.png"
    assert first["sha256"] == hashlib.sha256(CARD).hexdigest()
    assert (first["format"], second["format"]) == ("png", "jpeg")
    assert first["applied"] == []
    assert (third["width"], third["height"]) == (20, 16)
    assert third["applied"] == ["exif_orientation", "resize"]
    assert first["logit"] > second["logit"]
    assert first["probability"] > second["probability"]
    assert first["percentile"] > second["percentile"]


def test_a_generated_card_can_be_scored(client):
    drawn = client.post("/generate", json={"seed": 5}, headers={"Accept": "image/png"}).content
    (scored,) = client.post("/score", files=files(drawn)).json()["data"]
    brightness = decode(drawn).card.mean() / 255
    assert scored["percentile"] == pytest.approx(100 * brightness, abs=0.01)


@pytest.mark.parametrize(
    ("data", "status", "name"),
    [
        (b"hello, I am not an image", 415, "unsupported-image"),
        (pictures.file(pictures.plain(), "GIF"), 415, "unsupported-image"),
        (pictures.file(pictures.noisy(40, 40), "JPEG")[:-400], 422, "image-corrupt"),
        (b"", 422, "validation"),
        (pictures.bomb(), 422, "image-dimensions"),
        (pictures.animated("PNG"), 422, "image-animated"),
    ],
    ids=["no image", "gif", "truncated", "0 bytes", "100 megapixels", "apng"],
)
def test_a_bad_upload_is_refused_with_what_to_do(client, data, status, name):
    problem = is_problem(client.post("/score", files=files(data)), status, name)
    assert problem["errors"][0]["pointer"] == "/files/0"


def test_every_bad_upload_is_named_and_none_is_scored(client):
    answer = client.post("/score", files=files(CARD, b"junk", CARD, pictures.bomb()))
    problem = is_problem(answer, 422, "validation")
    assert [error["pointer"] for error in problem["errors"]] == ["/files/1", "/files/3"]
    assert [error["code"] for error in problem["errors"]] == ["unsupported", "dimensions"]


def test_sixteen_files_are_scored_and_seventeen_refused(client):
    assert len(client.post("/score", files=files(*[CARD] * 16)).json()["data"]) == 16
    problem = is_problem(client.post("/score", files=files(*[CARD] * 17)), 422, "validation")
    assert "16" in problem["detail"]


def test_empty_files_are_refused_also_before_a_gateway_has_read_any_other():
    with live(FakeBackend()) as url, client_of(url) as client:
        for content in (b"", b"", b"junk"):
            answer = client.post("/score", files=files(content))
            assert answer.status_code == (415 if content else 422)


def test_no_file_at_all_is_refused(client):
    body = b"--edge--\r\n"
    answer = client.post(
        "/score", content=body, headers={"Content-Type": "multipart/form-data; boundary=edge"}
    )
    is_problem(answer, 422, "validation")


# --- one card as the whole body


@pytest.mark.parametrize("claimed", ["image/png", "image/jpeg", "IMAGE/WEBP; q=1"])
def test_a_body_that_is_the_card_is_scored_by_what_it_is(client, claimed):
    answer = client.post("/score", content=CARD, headers={"Content-Type": claimed})
    (scored,) = answer.json()["data"]
    assert (scored["filename"], scored["format"]) == (None, "png")
    (named,) = client.post("/score", files=files(CARD)).json()["data"]
    assert scored | {"filename": "0.png"} == named


@pytest.mark.parametrize(
    ("data", "status", "name"),
    [(b"", 422, "validation"), (b"junk", 415, "unsupported-image"), (CARD[:-60], 422, "image-corrupt")],
)
def test_a_body_that_is_no_card_is_refused(client, data, status, name):
    answer = client.post("/score", content=data, headers={"Content-Type": "image/png"})
    assert is_problem(answer, status, name)["errors"][0]["pointer"] == ""


def test_a_body_above_the_limit_of_a_file_is_refused():
    with live(FakeBackend(), Settings(max_file=len(CARD) - 1)) as url, client_of(url) as client:
        answer = client.post("/score", content=CARD, headers={"Content-Type": "image/png"})
        is_problem(answer, 413, "too-large")


@pytest.mark.parametrize("claimed", ["image/gif", "image/*", "application/json", "text/plain", ""])
def test_a_body_of_another_type_is_refused_with_the_right_ones(client, claimed):
    answer = client.post("/score", content=CARD, headers={"Content-Type": claimed})
    is_problem(answer, 415, "unsupported-media-type")
    assert answer.headers["accept-post"] == "multipart/form-data, image/png, image/jpeg, image/webp"


def test_what_stands_in_the_address_is_not_passed_over(client):
    problem = is_problem(client.post("/score?handling=lenient", files=files(CARD)), 422, "validation")
    assert [error["code"] for error in problem["errors"]] == ["no_query"]
    assert "Prefer" in problem["detail"]


def test_who_does_not_take_json_is_refused(client):
    answer = client.post("/score", files=files(CARD), headers={"Accept": "image/png"})
    assert "application/json" in is_problem(answer, 406, "not-acceptable")["detail"]


# --- lenient


def test_a_lenient_client_gets_scores_and_problems_side_by_side(client):
    sent = files(CARD, b"junk", b"", CARD)
    answer = client.post("/score", files=sent, headers={"Prefer": "respond-async, handling=lenient"})
    assert answer.status_code == 200
    assert answer.headers["preference-applied"] == "handling=lenient"
    data = answer.json()["data"]
    assert [card["index"] for card in data] == [0, 1, 2, 3]
    assert data[0] | {"index": 3, "filename": "3.png"} == data[3]
    assert "error" not in data[0]
    junk, empty = data[1]["error"], data[2]["error"]
    assert (junk["type"], junk["status"]) == ("/problems/unsupported-image", 415)
    assert (empty["type"], empty["status"]) == ("/problems/validation", 422)
    assert junk["errors"][0]["pointer"] == "/files/1"
    assert junk["instance"] == answer.headers["x-request-id"]
    assert set(data[1]) == {"index", "filename", "error"}


def test_a_lenient_client_may_have_no_card_at_all(client):
    answer = client.post("/score", files=files(b"junk"), headers={"Prefer": "handling=lenient"})
    assert answer.status_code == 200
    assert answer.headers["x-model-version"] == VERSION
    assert answer.json()["data"][0]["error"]["status"] == 415


def test_files_that_are_too_large_are_each_a_problem():
    with live(FakeBackend(), Settings(max_file=len(CARD))) as url, client_of(url) as client:
        sent = files(CARD, CARD + b" ", CARD)
        strict = is_problem(client.post("/score", files=sent), 413, "too-large")
        assert [fault["pointer"] for fault in strict["errors"]] == ["/files/1"]
        lenient = client.post("/score", files=sent, headers={"Prefer": "handling=lenient"}).json()["data"]
        assert [card.get("error", {}).get("status") for card in lenient] == [None, 413, None]


@pytest.mark.parametrize(
    "prefer", ["handling=strict", "handling", "lenient", "handling=strict, handling=lenient"]
)
def test_whoever_does_not_ask_for_leniency_is_judged_strictly(client, prefer):
    answer = client.post("/score", files=files(CARD, b"junk"), headers={"Prefer": prefer})
    is_problem(answer, 415, "unsupported-image")
    assert "preference-applied" not in answer.headers


def test_health_answers_while_pictures_are_being_read(client):
    slow = pictures.file(pictures.plain(3000, 3000))  # small to send, long to read
    waits = []
    with concurrent.futures.ThreadPoolExecutor() as pool, client_of(str(client.base_url)) as other:
        start = time.monotonic()
        scoring = pool.submit(other.post, "/score", files=files(*[slow] * 6), headers={"Prefer": "wait=30"})
        while not scoring.done():
            waits.append(client.get("/healthz").elapsed.total_seconds())
        took = time.monotonic() - start
    assert scoring.result().status_code == 200
    assert len(waits) >= 20  # six pictures read on the event loop would let in half as many
    assert statistics.median(waits) < took / 20
