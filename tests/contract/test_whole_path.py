"""The test that counts: sample cards, trained on and exported, answer alike wherever the models run."""

import base64
import io
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from serving import noise
from serving.embedded import EmbeddedBackend
from serving.tfserving import TFServingBackend
from tests.fakes.live import live
from tests.fakes.tfserving import serve_models
from training.models import Networks, to_pixels, to_unit
from training.run import Run

DEADLINE = 30.0
SEED = 2**32 - 3  # so that the seeds of one request wrap around


BACKENDS = ("embedded", "grpc", "grpc as tensor_content")


@contextmanager
def gateway_to(store: Path, backend: str) -> Iterator[httpx.Client]:
    """A gateway on a real socket, in front of the really exported models."""
    if backend == "embedded":
        with (
            live(EmbeddedBackend(store, DEADLINE)) as url,
            httpx.Client(base_url=url, timeout=60) as client,
        ):
            wait_until_ready(client)
            yield client
        return
    with (
        serve_models(store, tensor_content="tensor_content" in backend) as served,
        live(TFServingBackend(served.target, DEADLINE)) as url,
        httpx.Client(base_url=url, timeout=60) as client,
    ):
        wait_until_ready(client)
        yield client


def wait_until_ready(client: httpx.Client) -> None:
    """Wait for models that may load for longer than one request does."""
    until = time.monotonic() + 60
    while client.get("/readyz").status_code != 200 and time.monotonic() < until:
        time.sleep(0.2)


@pytest.fixture(scope="module", params=BACKENDS)
def gateway(request: pytest.FixtureRequest, tiny_run) -> Iterator[httpx.Client]:
    with gateway_to(tiny_run.store, request.param) as client:
        yield client


@pytest.fixture(scope="module")
def networks(tiny_run) -> Networks:
    run = Run.open(tiny_run.run)
    networks = Networks.build(run.config)
    run.restore(networks)
    return networks


def picture(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)


def png(card: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(card.astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def test_generate_draws_what_the_keras_generator_draws(gateway, networks):
    answer = gateway.post("/generate", json={"n": 5, "seed": SEED, "truncation": 0.8})
    assert answer.status_code == 200, answer.text
    drawn = np.stack([picture(base64.b64decode(card["b64_json"])) for card in answer.json()["data"]])
    rows = tf.constant(noise.draw(SEED, 5, networks.average.input_shape[1], 0.8))
    expected = to_pixels(networks.average(rows, training=False)).numpy().astype(int)
    assert np.abs(drawn - expected).max() <= 1
    assert [card["seed"] for card in answer.json()["data"]] == [2**32 - 3, 2**32 - 2, 2**32 - 1, 0, 1]


def test_a_seed_draws_its_card_again_alone(gateway):
    together = gateway.post("/generate", json={"n": 3, "seed": 41}).json()["data"][2]
    alone = gateway.post("/generate", json={"seed": 43}, headers={"Accept": "image/png"})
    assert alone.headers["content-type"] == "image/png"
    assert np.abs(picture(alone.content) - picture(base64.b64decode(together["b64_json"]))).max() <= 1


def test_score_gives_what_the_keras_discriminator_gives(gateway, networks, tiny_run):
    cards = np.random.default_rng(5).integers(0, 256, (16, 56, 40, 3), np.uint8)
    answer = gateway.post(
        "/score", files=[("files", (f"{i}.png", png(card))) for i, card in enumerate(cards)]
    )
    assert answer.status_code == 200, answer.text
    scores = answer.json()["data"]
    expected = networks.discriminator(to_unit(cards), training=False).numpy()
    np.testing.assert_allclose([score["logit"] for score in scores], expected, atol=1e-4)
    assert all(0 <= score["probability"] <= 1 and 0 <= score["percentile"] <= 100 for score in scores)
    assert answer.json()["model"]["version"] == str(tiny_run.version)


def test_a_generated_card_can_be_scored(gateway):
    card = gateway.post("/generate", json={"seed": 7}, headers={"Accept": "image/png"}).content
    answer = gateway.post("/score", files={"files": ("card.png", card)})
    assert answer.status_code == 200
    assert answer.json()["data"][0]["applied"] == []


def test_a_card_of_any_size_is_scored_as_training_would_have_seen_it(gateway, networks, tiny_run):
    from serving.cards import fit
    from tests.fakes.pictures import decode

    path = sorted(tiny_run.cards.iterdir())[0]
    answer = gateway.post("/score", files={"files": (path.name, path.read_bytes())}).json()["data"][0]
    seen = fit(decode(path.read_bytes()).card, 56, 40)
    expected = float(networks.discriminator(to_unit(seen[None]), training=False)[0])
    assert answer["logit"] == pytest.approx(expected, abs=1e-4)
    assert answer["applied"] == ["decoded_smaller", "resize"]


def test_the_gateway_is_ready_and_knows_the_models(gateway, tiny_run):
    assert gateway.get("/readyz").json() == {
        "status": "ready",
        "version": str(tiny_run.version),
        "noise_size": 16,
        "height": 56,
        "width": 40,
        "classes": [],
    }


@pytest.fixture(scope="module", params=BACKENDS)
def kinds_gateway(request: pytest.FixtureRequest, kinds) -> Iterator[httpx.Client]:
    """The same, in front of models that know two kinds of card."""
    with gateway_to(kinds.store, request.param) as client:
        yield client


def test_the_gateway_knows_the_names_of_the_kinds(kinds_gateway, kinds):
    assert kinds_gateway.get("/readyz").json()["classes"] == list(kinds.classes)


def test_each_kind_is_drawn_as_the_keras_generator_draws_it(kinds_gateway, kinds):
    rows = tf.constant(noise.draw(SEED, 5, 16))
    drawn: list[np.ndarray] = []
    for label, name in enumerate(kinds.classes):
        data = kinds_gateway.post("/generate", json={"n": 5, "seed": SEED, "label": name}).json()["data"]
        assert [card["label"] for card in data] == [name] * 5
        drawn.append(np.stack([picture(base64.b64decode(card["b64_json"])) for card in data]))
        expected = to_pixels(kinds.networks.average([rows, tf.fill(5, label)], training=False))
        assert np.abs(drawn[-1] - expected.numpy().astype(int)).max() <= 1
    assert (np.abs(drawn[0] - drawn[1]).max(axis=(1, 2, 3)) > 10).all()


def test_a_kind_that_was_not_asked_for_follows_from_the_seed_and_is_told(kinds_gateway, kinds):
    many = kinds_gateway.post("/generate", json={"n": 16, "seed": SEED}).json()["data"]
    assert {card["label"] for card in many} == set(kinds.classes)
    for card in many[1::5]:
        for body in ({"seed": card["seed"]}, {"seed": card["seed"], "label": card["label"]}):
            (again,) = kinds_gateway.post("/generate", json=body).json()["data"]
            assert again["label"] == card["label"]
            pixels = [picture(base64.b64decode(drawn["b64_json"])) for drawn in (card, again)]
            assert np.abs(pixels[0] - pixels[1]).max() <= 1


def test_a_card_is_scored_as_the_kind_that_suits_it_best(kinds_gateway, kinds):
    quarters = np.random.default_rng(1).choice(np.array([0, 255], np.uint8), (16, 2, 2, 3))
    cards = quarters.repeat(28, axis=1).repeat(20, axis=2)
    uploads = [("files", (f"{i}.png", png(card))) for i, card in enumerate(cards)]
    logits = [score["logit"] for score in kinds_gateway.post("/score", files=uploads).json()["data"]]
    judge = kinds.networks.discriminator
    by_kind = [judge([to_unit(cards), tf.fill(16, label)], training=False).numpy() for label in (0, 1)]
    np.testing.assert_allclose(logits, np.max(by_kind, axis=0), atol=1e-4)
    assert set(np.argmax(by_kind, axis=0)) == {0, 1}


def test_an_unknown_kind_is_refused_with_the_names(kinds_gateway, kinds):
    answer = kinds_gateway.post("/generate", json={"label": "orcs"})
    assert answer.status_code == 422
    assert all(name in answer.json()["detail"] for name in kinds.classes)


def test_one_seed_and_label_are_the_same_bytes_from_both_backends(kinds):
    answers: list[list[str]] = []
    for backend in BACKENDS:
        with gateway_to(kinds.store, backend) as client:
            data = client.post("/generate", json={"n": 4, "seed": SEED, "label": "elves"}).json()["data"]
            answers.append([card["b64_json"] for card in data])
    assert answers[0] == answers[1] == answers[2]
