"""A live gateway with a backend that needs no models, for the tests of one file."""

import pytest

from tests.fakes.backend import FakeBackend
from tests.fakes.live import live
from tests.serving.asking import client_of


@pytest.fixture(scope="module")
def client():
    with live(FakeBackend()) as url, client_of(url) as client:
        yield client
