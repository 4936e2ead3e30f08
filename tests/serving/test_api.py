"""The gateway over real sockets, with a backend that needs no models."""

import base64
import concurrent.futures
import hashlib
import json
import re
import time
from urllib.parse import unquote

import httpx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.backend import BackendError, BadAnswer, DeadlineExceeded, NotReady, Unavailable
from serving.cards import decode
from serving.noise import SEEDS
from tests.fakes import pictures
from tests.fakes.backend import FakeBackend
from tests.fakes.live import live

CARD = pictures.file(pictures.plain(70, 50))
VERSION = FakeBackend().model.version


def client_of(url: str) -> httpx.Client:
    return httpx.Client(base_url=url, trust_env=False, timeout=30)


@pytest.fixture(scope="module")
def client():
    with live(FakeBackend()) as url, client_of(url) as client:
        yield client


def files(*contents: bytes) -> list[tuple[str, tuple[str, bytes]]]:
    return [("files", (f"{index}.png", content)) for index, content in enumerate(contents)]


def picture(entry: dict) -> np.ndarray:
    return decode(base64.b64decode(entry["b64_json"])).card


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


# --- drawing


def test_an_empty_request_draws_one_card(client):
    answer = client.post("/generate")
    assert answer.status_code == 200
    assert answer.json()["model"] == {"name": "generator", "version": VERSION}
    (card,) = answer.json()["data"]
    assert (card["width"], card["height"], card["media_type"]) == (50, 70, "image/png")
    assert picture(card).shape == (70, 50, 3)
    assert 0 <= card["seed"] < SEEDS


def test_sixteen_cards_differ_and_are_counted_from_the_seed(client):
    data = client.post("/generate", json={"n": 16, "seed": SEEDS - 1}).json()["data"]
    assert [card["seed"] for card in data] == [SEEDS - 1, *range(15)]
    assert [card["index"] for card in data] == list(range(16))
    assert len({card["b64_json"] for card in data}) == 16


def test_a_card_can_be_drawn_again_alone_from_its_seed(client):
    many = client.post("/generate", json={"n": 3, "seed": 42, "truncation": 0.5}).json()["data"]
    again = client.post("/generate", json={"seed": many[2]["seed"], "truncation": 0.5}).json()["data"]
    assert many[2]["b64_json"] == again[0]["b64_json"]


def test_an_unseeded_request_names_the_seed_that_draws_it_again(client):
    first = client.post("/generate")
    second = client.post("/generate", json={"seed": int(first.headers["x-seed"])})
    assert first.json()["data"][0]["b64_json"] == second.json()["data"][0]["b64_json"]
    assert client.post("/generate").headers["x-seed"] != first.headers["x-seed"]


def test_truncation_changes_the_card(client):
    tame, wild = (
        picture(client.post("/generate", json={"seed": 1, "truncation": t}).json()["data"][0])
        for t in (0.1, 2)
    )
    assert wild.std() > 2 * tame.std()


@pytest.mark.parametrize("format", ["png", "jpeg", "webp"])
def test_a_bare_image_comes_where_accept_asks_for_one(client, format):
    answer = client.post("/generate", json={"seed": 42}, headers={"Accept": f"image/{format}"})
    assert answer.headers["content-type"] == f"image/{format}"
    assert answer.headers["x-seed"] == "42"
    assert answer.headers["x-model-version"] == VERSION
    assert answer.headers["vary"] == "Accept"
    extension = {"jpeg": "jpg"}.get(format, format)
    assert answer.headers["content-disposition"] == f'inline; filename="card-42.{extension}"'
    assert decode(answer.content).format == format


def test_any_image_means_the_output_format(client):
    answer = client.post("/generate", json={"output_format": "webp"}, headers={"Accept": "image/*"})
    assert answer.headers["content-type"] == "image/webp"


def test_output_compression_makes_jpeg_smaller(client):
    sizes = [
        len(
            client.post(
                "/generate",
                json={"seed": 3, "output_format": "jpeg", "output_compression": quality},
                headers={"Accept": "image/jpeg"},
            ).content
        )
        for quality in (10, 95)
    ]
    assert sizes[0] < sizes[1]


def test_output_compression_is_refused_for_png(client):
    problem = is_problem(client.post("/generate", json={"output_compression": 50}), 422, "validation")
    assert problem["errors"][0]["pointer"] == "/output_compression"


@pytest.mark.parametrize(
    ("body", "accept"),
    [
        ({"n": 2}, "image/png"),
        ({"output_format": "jpeg"}, "image/png"),
        ({}, "text/html"),
        ({}, "image/png;q=0, image/gif"),
    ],
)
def test_an_accept_header_that_cannot_be_met_is_refused_with_what_can(client, body, accept):
    problem = is_problem(
        client.post("/generate", json=body, headers={"Accept": accept}), 406, "not-acceptable"
    )
    assert "application/json" in problem["detail"]


def test_n_above_one_with_a_browsers_accept_header_is_json(client):
    accept = "text/html,application/xhtml+xml,image/avif,image/webp,*/*;q=0.8"
    answer = client.post("/generate", json={"n": 2}, headers={"Accept": accept})
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"n": 0}, "/n"),
        ({"n": 17}, "/n"),
        ({"n": 1.5}, "/n"),
        ({"n": "4"}, "/n"),
        ({"n": True}, "/n"),
        ({"seed": -1}, "/seed"),
        ({"seed": SEEDS}, "/seed"),
        ({"truncation": 0}, "/truncation"),
        ({"truncation": 2.1}, "/truncation"),
        ({"output_format": "gif"}, "/output_format"),
        ({"output_format": "jpeg", "output_compression": 0}, "/output_compression"),
        ({"label": "red"}, "/label"),
        ({"label": ["red"]}, "/label"),
        ({"label": 0}, "/label"),
        ({"colour": "red"}, "/colour"),
        ({"<script>": 1}, ""),
        ([], ""),
        (None, ""),
        (7, ""),
    ],
)
def test_a_field_that_breaks_a_rule_is_named(client, body, pointer):
    answer = client.post("/generate", content=json.dumps(body), headers={"Content-Type": "application/json"})
    problem = is_problem(answer, 422, "validation")
    assert [error["pointer"] for error in problem["errors"]] == [pointer]
    assert pointer.removeprefix("/") in problem["detail"]
    assert "red" not in answer.text
    assert "script" not in answer.text


def test_every_broken_rule_is_named_up_to_sixteen(client):
    problem = client.post("/generate", json={"n": 0, "seed": -1}).json()
    assert [error["pointer"] for error in problem["errors"]] == ["/n", "/seed"]
    many = client.post("/generate", json={f"field{i}": i for i in range(400)}).json()
    assert len(many["errors"]) == 16


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
@pytest.mark.parametrize("field", ["n", "truncation", "seed"])
def test_a_number_that_is_none_is_refused(client, field, number):
    answer = client.post(
        "/generate", content=f'{{"{field}": {number}}}', headers={"Content-Type": "application/json"}
    )
    assert is_problem(answer, 422, "validation")["errors"][0]["pointer"] == f"/{field}"


@pytest.mark.parametrize(
    "body", [b"{", b"{'n': 1}", b'{"n": 1} x', b"\xff\xfe", b"[" * 5000, b'{"n": ' + b"9" * 5000 + b"}"]
)
def test_broken_json_is_refused(client, body):
    answer = client.post("/generate", content=body, headers={"Content-Type": "application/json"})
    is_problem(answer, 400, "malformed-body")


def test_json_above_16_kib_is_refused(client):
    answer = client.post("/generate", json={"colour": "x" * 20_000})
    is_problem(answer, 413, "too-large")


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_a_body_of_another_type_is_refused_with_the_right_one(client, content_type):
    answer = client.post("/generate", content=b"n=4", headers={"Content-Type": content_type})
    is_problem(answer, 415, "unsupported-media-type")
    assert answer.headers["accept-post"] == "application/json"


FIELDS = st.sampled_from(["n", "seed", "label", "truncation", "output_format", "output_compression", "other"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(FIELDS, VALUES | st.integers(0, 17) | st.floats(0, 2), max_size=4) | VALUES)
def test_any_json_is_answered_with_cards_or_with_what_is_wrong(client, body):
    answer = client.post("/generate", content=json.dumps(body), headers={"Content-Type": "application/json"})
    if answer.status_code == 200:
        assert len(answer.json()["data"]) == body.get("n", 1)
    else:
        assert is_problem(answer, 422, "validation")["errors"]


@given(st.binary(max_size=200))
def test_any_bytes_as_json_are_never_our_fault(client, body):
    answer = client.post("/generate", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (200, 400, 422)


# --- kinds of card

KINDS = ("elves", "Wälder, alt")


@pytest.fixture(scope="module")
def kinds_client():
    with live(FakeBackend(classes=KINDS)) as url, client_of(url) as client:
        yield client


def test_models_that_know_no_kinds_name_none(client):
    answer = client.post("/generate", json={"label": None}, headers={"Accept": "image/png"})
    assert "x-label" not in answer.headers
    (card,) = client.post("/generate").json()["data"]
    assert card["label"] is None
    problem = is_problem(client.post("/generate", json={"label": "elves"}), 422, "validation")
    assert "no kinds" in problem["detail"]
    assert problem["errors"][0]["code"] == "no_labels"


def test_a_label_is_the_kind_of_every_card(kinds_client):
    assert kinds_client.get("/readyz").json()["classes"] == list(KINDS)
    answers = [kinds_client.post("/generate", json={"n": 3, "seed": 1, "label": kind}) for kind in KINDS]
    blue, red = ([picture(card) for card in answer.json()["data"]] for answer in answers)
    assert [[card["label"] for card in answer.json()["data"]] for answer in answers] == [
        [kind] * 3 for kind in KINDS
    ]
    for a, b in zip(blue, red, strict=True):
        assert np.array_equal(a, b[..., ::-1])
        assert not np.array_equal(a, b)


def test_without_a_label_each_cards_kind_follows_from_its_seed(kinds_client):
    data = kinds_client.post("/generate", json={"n": 16, "seed": 8, "label": None}).json()["data"]
    assert {card["label"] for card in data} == set(KINDS)
    for card in data[::5]:
        for label in (None, card["label"]):
            again = kinds_client.post("/generate", json={"seed": card["seed"], "label": label}).json()["data"]
            assert again == [card | {"index": 0}]


def test_a_bare_image_names_its_kind_in_a_header(kinds_client):
    answer = kinds_client.post("/generate", json={"label": KINDS[1]}, headers={"Accept": "image/png"})
    assert unquote(answer.headers["x-label"]) == KINDS[1]


def test_an_unknown_label_is_refused_with_the_names_and_without_an_echo(kinds_client):
    answer = kinds_client.post("/generate", json={"label": "<script>"})
    problem = is_problem(answer, 422, "validation")
    assert all(kind in problem["detail"] for kind in KINDS)
    assert [(error["pointer"], error["code"]) for error in problem["errors"]] == [("/label", "unknown_label")]
    assert "script" not in answer.text


# --- scoring


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


# --- models that fail


@pytest.mark.parametrize(
    ("failure", "status", "name"),
    [
        (NotReady("No models are in the store. Run the export."), 503, "not-ready"),
        (Unavailable("TF Serving cannot be reached. Try again."), 503, "backend-unavailable"),
        (DeadlineExceeded("The models took more than 10 s. Ask for fewer cards."), 504, "deadline-exceeded"),
        (BadAnswer("The models answered nonsense. Export them again."), 502, "backend-error"),
    ],
)
def test_models_that_fail_are_a_problem_with_the_reason(failure: BackendError, status, name):
    with live(FakeBackend(failure)) as url, client_of(url) as client:
        for answer in (client.post("/generate"), client.post("/score", files=files(CARD))):
            assert is_problem(answer, status, name)["detail"] == str(failure)
            assert ("retry-after" in answer.headers) == (status == 503)
        ready = client.get("/readyz")
        assert is_problem(ready, 503, name if status == 503 else "not-ready")["detail"] == str(failure)
        assert client.get("/healthz").json() == {"status": "ok"}


class BrokenBackend(FakeBackend):
    """Fails as only a mistake in code does."""

    async def generate(self, noise, labels=None):
        raise RuntimeError("the password is swordfish")


def test_a_failure_of_our_own_is_logged_tells_nothing_and_the_gateway_goes_on(caplog):
    with live(BrokenBackend()) as url, client_of(url) as client:
        answer = client.post("/generate", headers={"X-Request-ID": "mine"})
        assert is_problem(answer, 500, "internal")["instance"] == "mine"
        assert "swordfish" not in answer.text
        assert "swordfish" in caplog.text
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert client.get("/healthz").status_code == 200


def test_the_gateway_closes_its_backend_when_it_ends():
    backend = FakeBackend()
    with live(backend):
        assert not backend.closed
    assert backend.closed


# --- everything else


def test_readiness_describes_the_models(client):
    assert client.get("/readyz").json() == {
        "status": "ready",
        "version": VERSION,
        "noise_size": 12,
        "height": 70,
        "width": 50,
        "classes": [],
    }


def test_the_page_and_all_its_parts_come_from_here(client):
    page = client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'self'" in page.headers["content-security-policy"]
    parts = re.findall(r'(?:src|href)="(/page/[^"]+)"', page.text)
    assert {part.rpartition(".")[2] for part in parts} == {"css", "js", "svg"}
    for part in parts:
        assert client.get(part).status_code == 200
    assert "//" not in "".join(re.findall(r'(?:src|href)="([^"]+)"', page.text))


def test_an_unknown_address_and_a_wrong_method_are_problems(client):
    is_problem(client.get("/nothing"), 404, "not-found")
    is_problem(client.get("/page/../app.py"), 404, "not-found")
    for path, allowed in (("/generate", "POST"), ("/score", "POST"), ("/healthz", "GET")):
        answer = client.delete(path)
        is_problem(answer, 405, "method-not-allowed")
        assert answer.headers["allow"] == allowed
    assert "GET" in client.post("/page/page.js").headers["allow"]


def test_every_answer_carries_its_id_and_strict_headers(client):
    for answer in (client.get("/healthz"), client.get("/nothing"), client.post("/generate", json={"n": 0})):
        assert re.fullmatch(r"[0-9a-f]{24}", answer.headers["x-request-id"])
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert client.post("/generate").headers["cache-control"] == "no-store"
    script = client.get("/page/page.js")
    assert script.headers["cache-control"] == "no-cache"
    known = {"If-None-Match": script.headers["etag"]}
    assert client.get("/page/page.js", headers=known).status_code == 304


@pytest.mark.parametrize(
    ("given", "kept"),
    [("a-1.B_2", True), ("x" * 64, True), ("x" * 65, False), ("a b", False), ("<b>", False)],
)
def test_a_harmless_request_id_is_kept(client, given, kept):
    answer = client.get("/healthz", headers={"X-Request-ID": given})
    assert (answer.headers["x-request-id"] == given) == kept


def test_openapi_names_every_operation_with_its_problems_and_images(client):
    document = client.get("/openapi.json").json()
    operations = {o["operationId"]: o for path in document["paths"].values() for o in path.values()}
    assert set(operations) == {"generate", "score", "health", "readiness"}
    assert all(operation["summary"] for operation in operations.values())
    content = operations["generate"]["responses"]["200"]["content"]
    assert set(content) == {"application/json", "image/png", "image/jpeg", "image/webp"}
    for name in ("generate", "score"):
        refused = {s: r for s, r in operations[name]["responses"].items() if s != "200"}
        assert {"400", "413", "415", "422", "500", "503", "504"} <= set(refused)
        for response in refused.values():
            assert list(response["content"]) == ["application/problem+json"]
    references = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(document)))
    assert references <= set(document["components"]["schemas"])


def test_the_examples_of_openapi_are_accepted(client):
    operation = client.get("/openapi.json").json()["paths"]["/generate"]["post"]
    examples = operation["requestBody"]["content"]["application/json"]["examples"]
    assert examples
    for example in examples.values():
        assert client.post("/generate", json=example["value"]).status_code == 200
