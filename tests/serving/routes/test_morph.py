"""POST /morph over real sockets: moving pictures, frames, limits."""

import io
import itertools
import json
import zipfile
from urllib.parse import unquote

import numpy as np
import pytest
from PIL import Image, ImageSequence

from serving.contract import MAX_ROWS
from tests.fakes.backend import FakeBackend
from tests.fakes.live import live
from tests.fakes.pictures import decode
from tests.serving.asking import VERSION, client_of, is_problem

KINDS = ("elves", "Wälder, alt")


def frames_of(data: bytes) -> list[np.ndarray]:
    return [
        np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(Image.open(io.BytesIO(data)))
    ]


def card_of(client, seed: int, **body) -> np.ndarray:
    answer = client.post("/generate", json={"seed": seed, **body}, headers={"Accept": "image/png"})
    return decode(answer.content).card


@pytest.mark.parametrize(
    ("accept", "media_type", "ending"),
    [
        ("*/*", "image/webp", "webp"),
        ("image/webp", "image/webp", "webp"),
        ("image/gif", "image/gif", "gif"),
        ("image/apng,*/*;q=0.5", "image/apng", "png"),
    ],
)
def test_a_moving_picture_passes_every_seed(client, accept, media_type, ending):
    answer = client.post("/morph", json={"seeds": [1, 2, 3], "frames": 4}, headers={"Accept": accept})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == media_type
    assert answer.headers["vary"] == "Accept"
    assert answer.headers["x-model-version"] == VERSION
    assert answer.headers["content-disposition"] == f'inline; filename="morph-1-3.{ending}"'
    frames = frames_of(answer.content)
    assert len(frames) == 12
    for place, seed in ((0, 1), (4, 2), (8, 3)):
        difference = np.abs(frames[place].astype(int) - card_of(client, seed))
        assert difference.mean() < (1 if media_type == "image/apng" else 12)


@pytest.mark.parametrize(("milliseconds", "of_gif"), [(250, 250), (5000, 5000), (29, 30), (22, 20)])
def test_a_picture_moves_as_slowly_as_it_is_told(client, milliseconds, of_gif):
    for media_type in ("image/webp", "image/gif", "image/apng"):
        body = {"seeds": [1, 2], "frames": 3, "milliseconds": milliseconds}
        moving = Image.open(
            io.BytesIO(client.post("/morph", json=body, headers={"Accept": media_type}).content)
        )
        durations = [frame.info["duration"] for frame in ImageSequence.Iterator(moving) if frame.load()]
        assert set(durations) == {of_gif if media_type == "image/gif" else milliseconds}
        assert moving.info["loop"] == 0


@pytest.mark.parametrize(("media_type", "loop"), [("image/webp", 1), ("image/gif", None), ("image/apng", 1)])
def test_without_a_loop_it_ends_with_the_last_seed(client, media_type, loop):
    body = {"seeds": [1, 2], "frames": 5, "loop": False}
    answer = client.post("/morph", json=body, headers={"Accept": media_type})
    frames = frames_of(answer.content)
    assert len(frames) == 6
    assert Image.open(io.BytesIO(answer.content)).info.get("loop") == loop
    assert np.abs(frames[-1].astype(int) - card_of(client, 2)).mean() < 12


def test_the_frames_come_as_png_files_in_a_zip(client):
    body = {"seeds": [8, 9], "frames": 20, "truncation": 0.6, "loop": False}
    answer = client.post("/morph", json=body, headers={"Accept": "application/zip"})
    assert answer.headers["content-disposition"] == 'inline; filename="morph-8-9.zip"'
    packed = zipfile.ZipFile(io.BytesIO(answer.content))
    assert packed.namelist() == [f"frame-{index:03}.png" for index in range(21)]
    cards = [decode(packed.read(name)).card for name in packed.namelist()]
    assert np.array_equal(cards[0], card_of(client, 8, truncation=0.6))
    assert np.array_equal(cards[-1], card_of(client, 9, truncation=0.6))
    steps = [np.abs(a.astype(int) - b).mean() for a, b in itertools.pairwise(cards)]
    assert max(steps) < 4 * np.mean(steps)  # no jump


class RowsBackend(FakeBackend):
    """Notes how many rows come at once."""

    def __init__(self, **options):
        super().__init__(**options)
        self.rows: list[int] = []

    async def generate(self, noise, labels=None, *, deadline=None):
        self.rows.append(len(noise))
        generated = await super().generate(noise, labels, deadline=deadline)
        assert labels is None or len(labels) == len(noise)
        return generated


def test_rows_reach_the_models_in_full_batches():
    backend = RowsBackend(classes=KINDS)
    with live(backend) as url, client_of(url) as client:
        answer = client.post("/morph", json={"seeds": [1, 2], "frames": 20})
        assert answer.status_code == 200
    assert backend.rows == [MAX_ROWS, MAX_ROWS, 8]


def test_a_morph_has_one_kind(client):
    with live(FakeBackend(classes=KINDS)) as url, client_of(url) as kinds_client:
        answer = kinds_client.post("/morph", json={"seeds": [1, 2], "label": KINDS[1]})
        assert unquote(answer.headers["x-label"]) == KINDS[1]
        drawn = kinds_client.post("/generate", json={"seed": 5}, headers={"Accept": "image/png"})
        from_seed = kinds_client.post("/morph", json={"seeds": [5, 6]})
        assert from_seed.headers["x-label"] == drawn.headers["x-label"]
    assert "x-label" not in client.post("/morph", json={"seeds": [1, 2]}).headers


class ReloadedBackend(FakeBackend):
    """Has new models from its second call on."""

    calls = 0

    async def generate(self, noise, labels=None, *, deadline=None):
        self.calls += 1
        if self.calls == 2:
            self.model = type(self.model)(f"{self.model.version}1", 12, 70, 50)
        return await super().generate(noise, labels, deadline=deadline)


def test_frames_of_two_versions_are_not_mixed():
    backend = ReloadedBackend()
    with live(backend) as url, client_of(url) as client:
        answer = client.post("/morph", json={"seeds": [1, 2]})
        assert answer.headers["x-model-version"] == backend.model.version
    assert backend.calls == 4  # two pieces, the first of them old, so that both are drawn again


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/seeds"),
        ({"seeds": []}, "/seeds"),
        ({"seeds": [1]}, "/seeds"),
        ({"seeds": [1] * 17}, "/seeds"),
        ({"seeds": [1, -1]}, "/seeds/1"),
        ({"seeds": [1, 2**32]}, "/seeds/1"),
        ({"seeds": [1, None]}, "/seeds/1"),
        ({"seeds": [1, 2], "frames": 0}, "/frames"),
        ({"seeds": [1, 2], "frames": 65}, "/frames"),
        ({"seeds": [1, 2, 3], "frames": 64, "loop": False}, "/frames"),
        ({"seeds": [1, 2], "milliseconds": 19}, "/milliseconds"),
        ({"seeds": [1, 2], "loop": 1}, "/loop"),
        ({"seeds": [1, 2], "label": "red"}, "/label"),
        ({"seeds": [1, 2], "truncation": 2.5}, "/truncation"),
        ({"seeds": [1, 2], "n": 4}, "/n"),
    ],
)
def test_a_field_that_breaks_a_rule_is_named(client, body, pointer):
    answer = client.post("/morph", content=json.dumps(body), headers={"Content-Type": "application/json"})
    problem = is_problem(answer, 422, "validation")
    assert [error["pointer"] for error in problem["errors"]] == [pointer]
    assert "after validation" not in problem["detail"]  # as pydantic says of a list


def test_what_stands_in_the_address_is_not_passed_over(client):
    problem = is_problem(client.post("/morph?frames=40", json={"seeds": [1, 2]}), 422, "validation")
    assert [error["code"] for error in problem["errors"]] == ["no_query"]


def test_a_body_of_another_type_is_refused_with_what_holds_for_a_morph(client):
    answer = client.post("/morph", content=b"seeds=1", headers={"Content-Type": "text/plain"})
    assert '"n"' not in is_problem(answer, 415, "unsupported-media-type")["detail"]


def test_no_body_names_what_is_missing(client):
    assert is_problem(client.post("/morph"), 422, "validation")["errors"][0]["pointer"] == "/seeds"


@pytest.mark.parametrize("accept", ["application/json", "image/jpeg", "image/png"])
def test_other_types_are_refused_with_those_there_are(client, accept):
    answer = client.post("/morph", json={"seeds": [1, 2]}, headers={"Accept": accept})
    assert (
        "image/webp, image/gif, image/apng, application/zip"
        in is_problem(answer, 406, "not-acceptable")["detail"]
    )
