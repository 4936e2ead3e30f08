"""The test that counts: sample cards, trained on and exported, answer alike wherever the models run."""

import base64
import io
from collections.abc import Iterator

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


@pytest.fixture(scope="module", params=["embedded", "grpc", "grpc as tensor_content"])
def gateway(request: pytest.FixtureRequest, tiny_run) -> Iterator[httpx.Client]:
    """A gateway on a real socket, in front of the really exported models."""
    if request.param == "embedded":
        with (
            live(EmbeddedBackend(tiny_run.store, DEADLINE)) as url,
            httpx.Client(base_url=url, timeout=60) as client,
        ):
            yield client
        return
    with (
        serve_models(tiny_run.store, tensor_content="tensor_content" in request.param) as served,
        live(TFServingBackend(served.target, DEADLINE)) as url,
        httpx.Client(base_url=url, timeout=60) as client,
    ):
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
    from serving.cards import decode, fit

    path = sorted(tiny_run.cards.iterdir())[0]
    answer = gateway.post("/score", files={"files": (path.name, path.read_bytes())}).json()["data"][0]
    seen = fit(decode(path.read_bytes()).card, 56, 40)
    expected = float(networks.discriminator(to_unit(seen[None]), training=False)[0])
    assert answer["logit"] == pytest.approx(expected, abs=1e-4)
    assert answer["applied"] == ["resize"]


def test_the_gateway_is_ready_and_knows_the_models(gateway, tiny_run):
    assert gateway.get("/readyz").json() == {
        "status": "ready",
        "version": str(tiny_run.version),
        "noise_size": 16,
        "height": 56,
        "width": 40,
    }
