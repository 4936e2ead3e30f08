"""GET /models over real sockets."""

import asyncio
import time

from serving.backend import NotReady
from tests.fakes.backend import FakeBackend
from tests.fakes.live import live
from tests.serving.asking import VERSION, client_of, is_problem


def test_the_models_say_what_they_take():
    with live(FakeBackend(classes=("elves", "goblins"))) as url, client_of(url) as client:
        data = client.get("/models").json()["data"]
        assert data == [
            {
                "name": name,
                "version": VERSION,
                "noise_size": 12,
                "height": 70,
                "width": 50,
                "classes": ["elves", "goblins"],
            }
            for name in ("generator", "discriminator")
        ]
        body = {"noise": [[0.5] * data[0]["noise_size"]], "label": data[0]["classes"][1]}
        assert client.post("/generate", json=body).status_code == 200
        head = client.head("/models")
        assert (head.status_code, head.content) == (200, b"")


class SilentBackend(FakeBackend):
    """Never says what the models are."""

    async def info(self):
        await asyncio.sleep(3600)
        return self.model


def test_who_says_so_waits_no_longer():
    with live(SilentBackend()) as url, client_of(url) as client:
        began = time.monotonic()
        is_problem(client.get("/models", headers={"Prefer": "wait=1"}), 504, "deadline-exceeded")
        assert 1 <= time.monotonic() - began < 5


def test_models_that_are_not_there_are_a_problem():
    with live(FakeBackend(NotReady("The store is empty."))) as url, client_of(url) as client:
        is_problem(client.get("/models"), 503, "not-ready")
