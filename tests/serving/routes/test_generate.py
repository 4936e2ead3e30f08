"""POST /generate over real sockets."""

import base64
import gzip
import io
import json
import math
import zipfile
from dataclasses import replace
from urllib.parse import unquote

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving import noise
from serving.content import MAX_JSON
from serving.noise import SEEDS
from tests.fakes.backend import FakeBackend
from tests.fakes.live import live
from tests.fakes.pictures import decode
from tests.serving.asking import VERSION, client_of, is_problem


def picture(entry: dict) -> np.ndarray:
    return decode(base64.b64decode(entry["b64_json"])).card


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


class ResizedBackend(FakeBackend):
    """Has models of larger cards from its first call on."""

    async def generate(self, noise, labels=None, *, deadline=None):
        self.model = replace(self.model, version=f"{self.model.version}1", height=140, width=100)
        return await super().generate(noise, labels, deadline=deadline)


def test_cards_of_models_that_were_replaced_meanwhile_have_their_own_size():
    with live(ResizedBackend()) as url, client_of(url) as client:
        (card,) = client.post("/generate").json()["data"]
        assert (card["height"], card["width"]) == picture(card).shape[:2] == (140, 100)


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
    assert isinstance(body, dict) or "JSON object" in problem["detail"]
    assert not problem["detail"].startswith(":")
    assert "red" not in answer.text
    assert "script" not in answer.text


@pytest.mark.parametrize("query", ["seed=7", "seed=7&n=2", "%", "colour=pink"])
def test_what_stands_in_the_address_is_not_passed_over(client, query):
    """Who asks for card 7 there would get another one."""
    refused = client.post(f"/generate?{query}", json={"n": 1})
    problem = is_problem(refused, 422, "validation")
    assert [error["code"] for error in problem["errors"]] == ["no_query"]
    assert "JSON body" in problem["detail"]
    assert "pink" not in refused.text
    assert client.post("/generate?").status_code == 200


def test_every_broken_rule_is_named_up_to_sixteen(client):
    problem = client.post("/generate", json={"n": 0, "seed": -1}).json()
    assert [error["pointer"] for error in problem["errors"]] == ["/n", "/seed"]
    many = client.post("/generate", json={f"field{i}": i for i in range(400)}).json()
    assert len(many["errors"]) == 16


def test_a_whole_number_may_be_written_with_a_point(client):
    body = '{"n": 2.0, "seed": 7.0, "output_format": "jpeg", "output_compression": 5e1}'
    answer = client.post("/generate", content=body, headers={"Content-Type": "application/json"})
    assert [card["seed"] for card in answer.json()["data"]] == [7, 8]


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


def test_json_above_64_kib_is_refused(client):
    json_type = {"Content-Type": "application/json"}
    assert client.post("/generate", content=b"{}".ljust(MAX_JSON), headers=json_type).status_code == 200
    answer = client.post("/generate", content=b"{}".ljust(MAX_JSON + 1), headers=json_type)
    assert "65,536" in is_problem(answer, 413, "too-large")["detail"]


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_a_body_of_another_type_is_refused_with_the_right_one(client, content_type):
    answer = client.post("/generate", content=b"n=4", headers={"Content-Type": content_type})
    is_problem(answer, 415, "unsupported-media-type")
    assert answer.headers["accept-post"] == "application/json"


def test_a_compressed_body_is_refused_with_what_is_read(client):
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    answer = client.post("/generate", content=gzip.compress(b"{}"), headers=headers)
    is_problem(answer, 415, "unsupported-media-type")
    assert answer.headers["accept-encoding"] == "identity"
    plain = {**headers, "Content-Encoding": "Identity"}
    assert client.post("/generate", content=b"{}", headers=plain).status_code == 200


FIELDS = st.sampled_from(
    ["n", "seed", "label", "truncation", "output_format", "output_compression", "noise", "layout", "other"]
)
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


def test_of_a_row_with_thousands_of_faults_the_first_is_named(client):
    """To write all of them down took a twentieth of a second."""
    problem = is_problem(client.post("/generate", json={"noise": [[0.5, *[""] * 15_000]]}), 422, "validation")
    assert [fault["pointer"] for fault in problem["errors"]] == ["/noise/0/1"]


# --- noise of the client's own


def own(*rows: list, **body) -> dict:
    return {"noise": list(rows), **body}


ROW = [float(x) for x in np.linspace(-2, 2, 12)]


def test_a_clients_own_noise_draws_a_card_for_each_row(client):
    answer = client.post("/generate", json=own(ROW, ROW[::-1], n=2, seed=None))
    assert answer.status_code == 200
    assert "x-seed" not in answer.headers
    data = answer.json()["data"]
    assert [card["seed"] for card in data] == [None, None]
    (alone,) = client.post("/generate", json=own(ROW[::-1])).json()["data"]
    assert picture(alone).tolist() == picture(data[1]).tolist() != picture(data[0]).tolist()


@given(st.integers(0, SEEDS - 1))
def test_the_noise_of_a_seed_draws_the_card_of_that_seed(client, seed):
    (row,) = noise.draw(seed, 1, 12).tolist()
    answers = [client.post("/generate", json=body) for body in (own(row), {"seed": seed})]
    assert len({answer.json()["data"][0]["b64_json"] for answer in answers}) == 1


def test_own_noise_as_image_and_zip_is_named_by_its_place(client):
    image = client.post("/generate", json=own(ROW), headers={"Accept": "image/png"})
    assert image.headers["content-disposition"] == 'inline; filename="card-0.png"'
    packed = client.post("/generate", json=own(ROW, ROW), headers={"Accept": "application/zip"})
    assert zipfile.ZipFile(io.BytesIO(packed.content)).namelist() == ["card-0.png", "card-1.png"]


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        (own(ROW[1:]), ["/noise/0"]),
        (own(ROW, [0.0], ROW, ROW * 2), ["/noise/1", "/noise/3"]),
        (own(), ["/noise"]),
        (own([]), ["/noise/0"]),
        (own(*[ROW] * 17), ["/noise"]),
        (own(ROW, seed=1), ["/seed"]),
        (own(ROW, truncation=1.0), ["/truncation"]),
        (own(ROW, seed=1, truncation=0.5, n=2), ["/seed", "/truncation", "/n"]),
        (own([*ROW[1:], 100.5]), ["/noise/0/11"]),
        (own([*ROW[1:], math.nan]), ["/noise/0/11"]),
        (own([*ROW[1:], -math.inf]), ["/noise/0/11"]),
        (own([*ROW[1:], "1"]), ["/noise/0/11"]),
        (own([*ROW[1:], True]), ["/noise/0/11"]),
        ({"noise": 7}, ["/noise"]),
    ],
)
def test_noise_that_breaks_a_rule_is_refused_by_name(client, body, pointers):
    answer = client.post("/generate", content=json.dumps(body), headers={"Content-Type": "application/json"})
    problem = is_problem(answer, 422, "validation")
    assert [error["pointer"] for error in problem["errors"]] == pointers


def test_sixteen_rows_of_128_numbers_written_at_their_longest_fit():
    longest = -math.nextafter(1e-300, 0)
    body = json.dumps(own(*[[longest] * 128] * 16))
    assert len(str(longest)) > 22
    with live(FakeBackend(noise_size=128)) as url, client_of(url) as client:
        answer = client.post("/generate", content=body, headers={"Content-Type": "application/json"})
    assert len(answer.json()["data"]) == 16


# --- several cards in one file


def test_a_zip_holds_every_card_stored_under_its_seed(client):
    body = {"n": 3, "seed": SEEDS - 1, "output_format": "jpeg"}
    answer = client.post("/generate", json=body, headers={"Accept": "application/zip"})
    assert answer.headers["content-type"] == "application/zip"
    assert answer.headers["vary"] == "Accept"
    assert answer.headers["x-seed"] == str(SEEDS - 1)
    assert answer.headers["content-disposition"] == f'inline; filename="cards-{SEEDS - 1}.zip"'
    packed = zipfile.ZipFile(io.BytesIO(answer.content))
    assert packed.testzip() is None
    assert packed.namelist() == [f"card-{SEEDS - 1}.jpg", "card-0.jpg", "card-1.jpg"]
    assert {entry.compress_type for entry in packed.infolist()} == {zipfile.ZIP_STORED}
    single = client.post("/generate", json=body | {"n": 1, "seed": 1}, headers={"Accept": "image/jpeg"})
    assert packed.read("card-1.jpg") == single.content
    again = client.post("/generate", json=body, headers={"Accept": "application/zip"})
    assert again.content == answer.content


@pytest.mark.parametrize("n", [1, 3, 16])
def test_a_sheet_shows_every_card(client, n):
    body = {"n": n, "seed": 8, "layout": "sheet"}
    answer = client.post("/generate", json=body)
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["content-disposition"] == 'inline; filename="sheet-8.png"'
    sheet = decode(answer.content).card
    columns, rows = {1: (1, 1), 3: (2, 2), 16: (4, 4)}[n]
    assert sheet.shape == (rows * 73 + 3, columns * 53 + 3, 3)
    for index, card in enumerate(client.post("/generate", json={"n": n, "seed": 8}).json()["data"]):
        top, left = 3 + index // columns * 73, 3 + index % columns * 53
        assert np.array_equal(sheet[top : top + 70, left : left + 50], picture(card))
    assert (sheet[:3] == 255).all()
    assert (sheet[:, :3] == 255).all()


def test_a_sheet_comes_in_the_format_that_accept_likes(client):
    answer = client.post("/generate", json={"n": 4, "layout": "sheet"}, headers={"Accept": "image/webp"})
    assert answer.headers["content-type"] == "image/webp"


@pytest.mark.parametrize("accept", ["application/json", "application/zip", "image/jpeg"])
def test_a_sheet_is_nothing_but_one_image_in_its_format(client, accept):
    body = {"n": 4, "layout": "sheet", "output_format": "png"}
    problem = is_problem(
        client.post("/generate", json=body, headers={"Accept": accept}), 406, "not-acceptable"
    )
    assert problem["detail"].startswith("This can be answered as image/png.")


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


def test_own_noise_needs_its_kind_named(kinds_client):
    problem = is_problem(kinds_client.post("/generate", json=own(ROW)), 422, "validation")
    assert [(error["pointer"], error["code"]) for error in problem["errors"]] == [("/label", "label_needed")]
    answer = kinds_client.post("/generate", json=own(ROW, ROW, label=KINDS[1]))
    assert [card["label"] for card in answer.json()["data"]] == [KINDS[1]] * 2


def test_an_unknown_label_is_refused_with_the_names_and_without_an_echo(kinds_client):
    answer = kinds_client.post("/generate", json={"label": "<script>"})
    problem = is_problem(answer, 422, "validation")
    assert all(kind in problem["detail"] for kind in KINDS)
    assert [(error["pointer"], error["code"]) for error in problem["errors"]] == [("/label", "unknown_label")]
    assert "script" not in answer.text
