"""The gateway's side of the wire, against the stand-in on a real socket and against what TF Serving said."""

# tensorflow-serving-api makes its classes at run time, where no type checker sees them.
# pyright: reportAttributeAccessIssue=false

import asyncio
import json
import shutil
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import numpy as np
import pytest

from serving import noise
from serving.backend import (
    BackendError,
    BadAnswer,
    DeadlineExceeded,
    ModelInfo,
    NotReady,
    Unavailable,
)
from serving.breaker import FAILURES, PAUSE
from serving.channel import RECONNECT_AFTER
from serving.grpc_errors import QUEUE_FULL, backend_error
from serving.tfserving import TFServingBackend
from tests.fakes.models import export_labelled_generator
from tests.fakes.tfserving import ModelVersionStatus, StandIn, serve_models

GOLDEN = Path(__file__).parents[1] / "golden"
MODELS = GOLDEN / "models"
CARDS = np.arange(3 * 16 * 16 * 3, dtype=np.uint8).reshape(3, 16, 16, 3)
NOISE = noise.draw(seed=7, n=3, size=8)

Status = grpc.StatusCode


@asynccontextmanager
async def speaking_to(target: str, deadline: float = 10.0) -> AsyncIterator[TFServingBackend]:
    backend = TFServingBackend(target, deadline)
    try:
        yield backend
    finally:
        await backend.close()


@pytest.fixture(scope="module", params=[False, True], ids=["values", "tensor_content"])
def shared(request: pytest.FixtureRequest) -> Iterator[StandIn]:
    with serve_models(MODELS, tensor_content=request.param) as stand_in:
        yield stand_in


@pytest.fixture
def stand_in(shared: StandIn) -> Iterator[StandIn]:
    """The stand-in, without what another test asked of it."""
    yield shared
    shared.refusal, shared.delay, shared.spoil, shared.states = None, 0.0, None, {}
    shared.calls.clear()


def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


async def refused(backend: TFServingBackend, kind: type[BackendError]) -> str:
    """Return what the client is told; every message says what to do."""
    with pytest.raises(BackendError) as caught:
        await backend.generate(NOISE)
    assert caught.type is kind
    return str(caught.value)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


async def test_the_models_are_described_by_their_signatures(stand_in):
    async with speaking_to(stand_in.target) as backend:
        assert await backend.info() == ModelInfo(version="1", noise_size=8, height=16, width=16)


async def test_cards_are_what_the_generator_draws(stand_in):
    async with speaking_to(stand_in.target) as backend:
        drawn = await backend.generate(NOISE)
    weights = stand_in.servables["generator"].session.run  # the same model without the wire
    expected = weights("StatefulPartitionedCall:0", {"generate_noise:0": NOISE})
    assert drawn.version == "1"
    assert drawn.cards.dtype == np.uint8
    np.testing.assert_array_equal(drawn.cards, expected)


async def test_scores_are_what_the_discriminator_says(stand_in):
    async with speaking_to(stand_in.target) as backend:
        scored = await backend.score(CARDS)
    run = stand_in.servables["discriminator"].session.run
    expected = run([f"StatefulPartitionedCall:{place}" for place in range(3)], {"score_cards:0": CARDS})
    for name, values in zip(("logit", "percentile", "probability"), expected, strict=True):
        np.testing.assert_allclose(getattr(scored, name), values, rtol=2e-6)


async def test_any_number_of_rows_gives_the_same_cards(stand_in):
    async with speaking_to(stand_in.target) as backend:
        together = await backend.generate(NOISE)
        alone = [await backend.generate(NOISE[row : row + 1]) for row in range(3)]
    np.testing.assert_array_equal(together.cards, np.concatenate([drawn.cards for drawn in alone]))


async def test_answers_above_grpcs_default_of_4_mib_arrive(stand_in):
    rows = np.zeros((6000, 8), np.float32)
    async with speaking_to(stand_in.target) as backend:
        assert len((await backend.generate(rows)).cards) == 6000


async def test_no_rows_are_never_sent(stand_in):
    async with speaking_to(stand_in.target) as backend:
        with pytest.raises(ValueError, match="no rows"):
            await backend.generate(NOISE[:0])
    assert not stand_in.calls


async def test_the_description_is_asked_once(stand_in):
    async with speaking_to(stand_in.target) as backend:
        for _ in range(5):
            await backend.info()
            await backend.generate(NOISE)
    assert stand_in.calls == {"metadata": 2, "predict": 5}


async def test_the_description_is_asked_again_after_a_failure(stand_in):
    async with speaking_to(stand_in.target) as backend:
        await backend.info()
        stand_in.refusal = Status.INTERNAL, "a word of the server's own"
        await refused(backend, BadAnswer)
        stand_in.refusal = None
        await backend.info()
    assert stand_in.calls["metadata"] == 5  # also by who failed: are the models others now?


async def test_a_new_version_is_described_at_once(tmp_path):
    shutil.copytree(MODELS, tmp_path / "store")
    with serve_models(tmp_path / "store") as stand_in:
        async with speaking_to(stand_in.target) as backend:
            assert (await backend.info()).version == "1"
            for model in ("generator", "discriminator"):
                shutil.copytree(
                    tmp_path / "store" / model / "1", tmp_path / "store" / model / "20260131120000"
                )
            stand_in.load()
            assert (await backend.generate(NOISE)).version == "20260131120000"
            assert (await backend.info()).version == "20260131120000"


LABELS = np.array([1, 0, 1], np.int32)


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    """A store whose generator knows two kinds of card."""
    shutil.copytree(MODELS / "discriminator", tmp_path / "discriminator")
    export_labelled_generator(tmp_path / "generator" / "1", ["elves", "goblins"])
    return tmp_path


async def test_the_kinds_are_asked_once_and_are_those_of_the_model_card(labelled):
    with serve_models(labelled) as stand_in:
        async with speaking_to(stand_in.target) as backend:
            for _ in range(3):
                assert (await backend.info()).classes == ("elves", "goblins")
            drawn = await backend.generate(NOISE, LABELS)
        assert drawn.cards[:, 0, 0, 0].tolist() == [1, 0, 1]
        assert stand_in.calls == {"metadata": 2, "predict": 2}


@pytest.mark.parametrize(("classes", "words"), [(None, "not made for this gateway"), ([], "has no classes")])
async def test_kinds_without_names_are_a_bad_answer(labelled, classes, words):
    export_labelled_generator(labelled / "generator" / "2", classes)
    with serve_models(labelled) as stand_in:
        async with speaking_to(stand_in.target) as backend:
            with pytest.raises(BadAnswer, match=words):
                await backend.info()


async def test_a_label_that_means_another_kind_since_a_new_version_draws_nothing(labelled):
    with serve_models(labelled) as stand_in:
        async with speaking_to(stand_in.target) as backend:
            await backend.info()
            export_labelled_generator(labelled / "generator" / "2", ["dragons", "goblins"])
            stand_in.load()
            with pytest.raises(NotReady, match="other kinds"):
                await backend.generate(NOISE, LABELS)
            assert (await backend.info()).classes == ("dragons", "goblins")
            assert (await backend.generate(NOISE, LABELS)).version == "2"


async def test_rows_for_models_that_were_replaced_meanwhile_are_to_be_asked_for_again(tmp_path):
    store = shutil.copytree(MODELS, tmp_path / "store")
    with serve_models(store) as stand_in:
        async with speaking_to(stand_in.target) as backend:
            await backend.info()
            shutil.copytree(store / "discriminator" / "1", store / "discriminator" / "2")
            export_labelled_generator(store / "generator" / "2", ["elves", "goblins"])
            stand_in.load()
            with pytest.raises(NotReady, match="replaced"):
                await backend.generate(NOISE)
            assert (await backend.generate(NOISE, LABELS)).version == "2"


RECORDED = json.loads((GOLDEN / "refusals.json").read_text())
MEANINGS = {
    "The batch scheduling queue": Unavailable,
    "Server Threadpool Exhausted": Unavailable,
    "Stream removed (CLIENT: Received message larger": BadAnswer,
    "Stream removed (": Unavailable,
    "failed to connect": Unavailable,
    "Servable not found": NotReady,
    "Deadline Exceeded": DeadlineExceeded,
}


@pytest.mark.parametrize("status", RECORDED, ids=lambda status: status["details"][:40])
async def test_every_recorded_refusal_has_a_meaning_and_says_nothing_of_the_servers_own(status):
    error = backend_error(getattr(Status, status["code"]), status["details"], 10.0)
    meant = [kind for text, kind in MEANINGS.items() if status["details"].startswith(text)]
    assert type(error) is (meant or [BadAnswer])[0]
    assert status["details"] not in str(error)
    assert "{{" not in str(error)


@pytest.mark.parametrize("code", [code for code in Status if code != Status.OK])
async def test_every_status_is_a_backend_error(code, stand_in):
    stand_in.refusal = code, "a word of the server's own"
    async with speaking_to(stand_in.target) as backend:
        with pytest.raises(BackendError) as caught:
            await backend.generate(NOISE)
    assert "server's own" not in str(caught.value)


@pytest.mark.parametrize(
    ("code", "details", "kind", "words"),
    [
        (Status.RESOURCE_EXHAUSTED, "", Unavailable, "more work"),
        (Status.RESOURCE_EXHAUSTED, "OOM when allocating tensor with shape[16]", Unavailable, "memory"),
        (
            Status.RESOURCE_EXHAUSTED,
            "Run() timeout exceeded while waiting in batching queue",
            DeadlineExceeded,
            "too busy",
        ),
        (
            Status.INVALID_ARGUMENT,
            "Task size 16 is larger than maximum input batch size 4",
            BadAnswer,
            "max_batch",
        ),
        (Status.FAILED_PRECONDITION, 'Serving signature key "generate" not found.', BadAnswer, "export"),
        (Status.UNAVAILABLE, "The batch scheduling queue to which ... is full", Unavailable, "more work"),
        (Status.UNAVAILABLE, "Socket closed", Unavailable, "cannot be reached"),
    ],
)
async def test_one_code_has_several_meanings(stand_in, code, details, kind, words):
    stand_in.refusal = code, details
    async with speaking_to(stand_in.target) as backend:
        assert words in await refused(backend, kind)


async def test_a_full_queue_is_not_asked_twice(stand_in):
    stand_in.refusal = (
        Status.UNAVAILABLE,
        "The batch scheduling queue to which this task was submitted is full",
    )
    async with speaking_to(stand_in.target) as backend:
        await refused(backend, Unavailable)
    assert stand_in.calls == {"predict": 1}


async def test_a_slow_model_ends_at_the_deadline(stand_in):
    stand_in.delay = 2.0
    async with speaking_to(stand_in.target, deadline=0.3) as backend:
        began = time.monotonic()
        assert "0.3 seconds" in await refused(backend, DeadlineExceeded)
        assert time.monotonic() - began < 1.5
        stand_in.delay = 0.0
        assert len((await backend.generate(NOISE)).cards) == 3


async def test_a_model_that_was_never_loaded_is_not_ready(tmp_path):
    shutil.copytree(MODELS / "discriminator", tmp_path / "discriminator")
    with serve_models(tmp_path) as stand_in:
        async with speaking_to(stand_in.target) as backend:
            assert "holofoil export" in await refused(backend, NotReady)
            with pytest.raises(NotReady, match="no version"):
                await backend.info()


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (ModelVersionStatus.START, "still loading"),
        (ModelVersionStatus.LOADING, "still loading"),
        (ModelVersionStatus.END, "unloaded"),
    ],
)
async def test_a_model_between_states_is_not_ready_and_says_why(stand_in, state, words):
    stand_in.states["discriminator"] = ModelVersionStatus(version=1, state=state)
    async with speaking_to(stand_in.target) as backend:
        with pytest.raises(NotReady, match=words):
            await backend.info()
        stand_in.states.clear()
        await backend.info()


async def test_a_model_that_failed_to_load_names_its_version_and_not_its_path(stand_in):
    failed = ModelVersionStatus(version=12, state=ModelVersionStatus.END)
    failed.status.error_code = 5
    failed.status.error_message = "Specified file path: /models/generator/12"
    stand_in.states["generator"] = failed
    async with speaking_to(stand_in.target) as backend:
        message = await refused(backend, NotReady)
    assert "version 12 of generator" in message
    assert "/models" not in message


def set_values(name: str, values: np.ndarray):
    import tensorflow as tf

    def spoil(response) -> None:
        response.outputs[name].CopyFrom(tf.make_tensor_proto(values))

    return spoil


def cut_short(response) -> None:
    response.outputs["cards"].tensor_content = b"123"


def without_cards(response) -> None:
    del response.outputs["cards"]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda response: b"\xff\xff\xff not a message",
        cut_short,
        without_cards,
        set_values("cards", np.zeros((2, 16, 16, 3), np.uint8)),
        set_values("cards", np.zeros((3, 15, 16, 3), np.uint8)),
        set_values("cards", np.zeros((3, 16, 16, 3), np.float32)),
    ],
)
async def test_an_answer_without_the_cards_asked_for_is_a_bad_answer(stand_in, spoil):
    stand_in.spoil = spoil
    async with speaking_to(stand_in.target) as backend:
        await refused(backend, BadAnswer)


@pytest.mark.parametrize("values", [[1, np.nan, 1], [np.inf, 1, 1], [1, 1], [[1], [1], [1]]])
@pytest.mark.parametrize("name", ["logit", "probability", "percentile"])
async def test_scores_that_are_not_one_finite_number_a_card_are_a_bad_answer(stand_in, name, values):
    stand_in.spoil = set_values(name, np.array(values, np.float32))
    async with speaking_to(stand_in.target) as backend:
        with pytest.raises(BadAnswer, match=name):
            await backend.score(CARDS)


async def test_models_that_do_not_fit_each_other_are_a_bad_answer(stand_in):
    signatures = stand_in.servables["discriminator"].signatures
    dim = signatures["score"].inputs["cards"].tensor_shape.dim[1]
    dim.size = 24
    try:
        async with speaking_to(stand_in.target) as backend:
            with pytest.raises(BadAnswer, match=r"uint8 \(\?, 16, 16, 3\).*uint8 \(\?, 24, 16, 3\)"):
                await backend.info()
    finally:
        dim.size = 16


async def ask_for_ever(backend: TFServingBackend) -> None:
    while True:
        await backend.info()
        await asyncio.sleep(0.01)


async def test_where_nobody_listens_the_server_is_unavailable_at_once():
    async with speaking_to(f"127.0.0.1:{unused_port()}") as backend:
        began = time.monotonic()
        with pytest.raises(Unavailable, match="cannot be reached"):
            await backend.info()
        assert time.monotonic() - began < 2


async def recovered_after(backend: TFServingBackend) -> float:
    """Return the seconds until the backend answers again."""
    began = time.monotonic()
    while time.monotonic() - began < 10:
        try:
            await backend.info()
        except Unavailable:
            await asyncio.sleep(0.05)
        else:
            return time.monotonic() - began
    raise AssertionError("no answer for 10 seconds")


async def test_a_server_that_comes_up_after_the_gateway_is_found():
    port = unused_port()
    async with speaking_to(f"127.0.0.1:{port}") as backend:
        began = time.monotonic()
        # Long enough for gRPC's own attempts to be 4 seconds apart.
        while time.monotonic() - began < 6:
            with pytest.raises(Unavailable):
                await backend.info()
            await asyncio.sleep(0.1)
        with serve_models(MODELS, port=port):
            assert await recovered_after(backend) < 2
            assert len((await backend.generate(NOISE)).cards) == 3


async def test_a_server_that_was_killed_is_noticed_and_found_again():
    with serve_models(MODELS) as stand_in:
        port = int(stand_in.target.rpartition(":")[2])
        backend = TFServingBackend(stand_in.target, deadline=10.0)
        await backend.info()
        stand_in.delay = 5.0
        under_way = asyncio.create_task(backend.generate(NOISE))
        await until(lambda: stand_in.calls["predict"])
    with pytest.raises(Unavailable):
        await under_way
    with pytest.raises(Unavailable):
        await backend.info()
    with serve_models(MODELS, port=port):
        assert await recovered_after(backend) < 3
    await backend.close()


async def test_a_server_that_has_gone_is_noticed_without_a_call():
    with serve_models(MODELS) as stand_in:
        backend = TFServingBackend(stand_in.target, deadline=10.0)
        await backend.info()
    async with asyncio.timeout(5):
        with pytest.raises(Unavailable):
            await ask_for_ever(backend)
    await backend.close()


async def test_a_call_that_one_server_drops_is_answered_by_another():
    with serve_models(MODELS) as staying:
        with serve_models(MODELS) as going:
            backend = TFServingBackend(f"ipv4:{staying.target},{going.target}", deadline=10.0)
            async with asyncio.timeout(10):
                while not (going.calls and staying.calls):
                    await backend.score(CARDS)
            going.delay = 5.0
            going.calls.clear()
            under_way = [asyncio.create_task(backend.generate(NOISE)) for _ in range(4)]
            await until(lambda: going.calls["predict"] == 2)
        answers = await asyncio.gather(*under_way)
        assert all(len(answer.cards) == 3 for answer in answers)
        await backend.close()


async def test_a_call_whose_client_has_gone_is_cancelled(stand_in):
    stand_in.delay = 5.0
    async with speaking_to(stand_in.target) as backend:
        under_way = asyncio.create_task(backend.generate(NOISE))
        await until(lambda: stand_in.calls["predict"])
        under_way.cancel()
        with pytest.raises(asyncio.CancelledError):
            await under_way
        stand_in.delay = 0.0
        assert len((await backend.generate(NOISE)).cards) == 3


async def test_a_server_that_stays_away_is_asked_seldom_and_found_soon():
    port = unused_port()
    async with speaking_to(f"127.0.0.1:{port}") as backend:
        for _ in range(FAILURES):
            await refused(backend, Unavailable)
        began = time.monotonic()
        for _ in range(200):
            await refused(backend, Unavailable)
        assert time.monotonic() - began < 1
        with pytest.raises(Unavailable) as caught:
            await backend.info()
        assert 0 <= caught.value.retry_after <= PAUSE
        with serve_models(MODELS, port=port) as stand_in:
            assert await recovered_after(backend) < 3 * PAUSE + RECONNECT_AFTER
            assert stand_in.calls["status"] == 1
            await backend.generate(NOISE)


async def test_a_full_queue_never_opens_the_breaker(stand_in):
    async with speaking_to(stand_in.target) as backend:
        await backend.info()
        stand_in.refusal = Status.UNAVAILABLE, f"The {QUEUE_FULL} to which this task was submitted is full"
        for _ in range(2 * FAILURES):
            await refused(backend, Unavailable)
        stand_in.refusal = None
        await backend.generate(NOISE)
