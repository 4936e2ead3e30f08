"""POST /score over real sockets."""

import concurrent.futures
import hashlib
import time

import pytest

from serving.cards import decode
from tests.fakes import pictures
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


def test_no_file_at_all_is_refused(client):
    body = b"--edge--\r\n"
    answer = client.post(
        "/score", content=body, headers={"Content-Type": "multipart/form-data; boundary=edge"}
    )
    is_problem(answer, 422, "validation")


def test_a_card_as_the_whole_body_is_refused_with_the_right_type(client):
    answer = client.post("/score", content=CARD, headers={"Content-Type": "image/png"})
    is_problem(answer, 415, "unsupported-media-type")
    assert answer.headers["accept-post"] == "multipart/form-data"


def test_health_answers_while_pictures_are_being_read(client):
    slow = pictures.file(pictures.plain(3000, 3000))  # small to send, long to read
    waits = []
    with concurrent.futures.ThreadPoolExecutor() as pool, client_of(str(client.base_url)) as other:
        start = time.monotonic()
        scoring = pool.submit(other.post, "/score", files=files(*[slow] * 6))
        while not scoring.done():
            waits.append(client.get("/healthz").elapsed.total_seconds())
        took = time.monotonic() - start
    assert scoring.result().status_code == 200
    assert max(waits) < took / 3
