"""Faults against real processes: clients ask without a pause, and every answer is looked at."""

import asyncio
from collections.abc import Iterator

import pytest

from serving.settings import STARTER_MODELS
from tests.benchmarks.serving import faults, references
from tests.benchmarks.serving.asked import SEEDS, Asked
from tests.benchmarks.serving.clients import CLIENTS, Tally, until_right
from tests.benchmarks.serving.faults import FAULTS, RECOVERY
from tests.benchmarks.serving.model_server import ModelServer, gateway

SECONDS = 0.5  # that a fault lasts

REFUSES = {"server killed", "server hung", "server answers garbage", "server answers NaN"}
"""Faults that nobody can hide: some are refused. Under all others every answer is right."""

PATIENT = {"HOLOFOIL_MAX_WAIT": "60"}
"""Has nobody refused because this machine has other work."""

FAST = [
    fault for fault in FAULTS if fault != "server restarted"
]  # as "killed", and as long to start TensorFlow


@pytest.fixture(scope="module")
def server() -> Iterator[ModelServer]:
    server = ModelServer(STARTER_MODELS)
    server.start()
    asyncio.run(server.ready())
    yield server
    server.kill()


@pytest.fixture(scope="module")
def asked(server: ModelServer) -> Asked:
    return Asked(asyncio.run(references.ask(server.target, SEEDS)))


@pytest.fixture(scope="module")
def address(server: ModelServer, asked: Asked) -> Iterator[str]:
    with gateway(HOLOFOIL_TFSERVING=server.target, **PATIENT) as (_, address):
        asyncio.run(until_right(address, asked))
        yield address


def nothing_is_lost(tally: Tally) -> None:
    assert not tally.lost, tally.lost[:3]
    assert tally.right >= CLIENTS
    assert tally.sent == tally.right + tally.refused.total()


@pytest.mark.parametrize("fault", FAST)
async def test_every_request_is_answered_right_or_refused_honestly(fault, server, address, asked):
    tally = await faults.endure(fault, server, address, asked, SECONDS)
    nothing_is_lost(tally)
    assert bool(tally.refused) == (fault in REFUSES)
    assert bool(tally.gone) == fault.startswith("client gone")
    assert tally.recovery < RECOVERY


async def test_a_gateway_that_is_ended_answers_all_that_it_called_itself_ready_for(server, asked):
    settings = {"HOLOFOIL_TFSERVING": server.target, **PATIENT}
    nothing_is_lost(await faults.ended_under_load(asked, SECONDS, **settings))


async def test_a_gateway_needs_no_disk_to_write_to(server, asked):
    settings = {"HOLOFOIL_TFSERVING": server.target, **PATIENT}
    nothing_is_lost(await faults.without_a_disk(asked, SECONDS, faults.FROM_THE_START, **settings))


async def test_a_wrong_card_would_be_found(server, address, asked):
    swapped = Asked(references.References(asked.expected.cards[::-1], asked.expected.logits))
    tally = await faults.endure("server slow", server, address, swapped, SECONDS, recovery=SECONDS)
    assert tally.right == 0
    assert tally.lost
