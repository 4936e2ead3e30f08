"""The models in this process, on SavedModels that TF Serving itself has served."""

import asyncio
import gc
import os
import shutil
import subprocess
import sys
import time
import weakref
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from serving import noise
from serving.backend import BadAnswer, DeadlineExceeded, ModelInfo, NotReady
from serving.cards import decode_upload, fit
from serving.contract import BATCH_SIZES
from serving.cores import BEHIND, cores
from serving.embedded import EmbeddedBackend
from serving.model_store import complete_versions
from serving.tfserving import TFServingBackend
from tests.fakes import pictures
from tests.fakes.batched import Batched
from tests.fakes.models import export_labelled_generator
from tests.fakes.pictures import decode
from tests.fakes.tfserving import serve_models

MODELS = Path(__file__).parents[1] / "golden" / "models"
STARTER = Path(__file__).parents[2] / "serving" / "models"
NOISE = noise.draw(seed=7, n=3, size=8)

pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture
async def backend() -> AsyncIterator[EmbeddedBackend]:
    backend = EmbeddedBackend(MODELS, deadline=60.0)
    yield backend
    await backend.close()


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A copy of the models that a test may break."""
    return Path(shutil.copytree(MODELS, tmp_path / "store"))


async def reason(store: Path) -> str:
    backend = EmbeddedBackend(store, deadline=60.0)
    try:
        with pytest.raises(NotReady) as caught:
            await backend.info()
    finally:
        await backend.close()
    assert str(store) in str(caught.value)
    assert "holofoil export" in str(caught.value)
    return str(caught.value)


def export(folder: Path, signatures: dict[str, tuple[dict[str, tf.TensorSpec], object]]) -> None:
    """Write a SavedModel with these signatures: each its inputs, and a function from them to its outputs."""
    module = tf.Module()
    functions = {}
    for name, (inputs, call) in signatures.items():
        functions[name] = tf.function(call).get_concrete_function(**inputs)
    tf.saved_model.save(module, str(folder), signatures=functions)


def export_generator(
    folder: Path, *, name: str = "generate", outputs: str = "cards", noise_dtype=tf.float32
) -> None:
    def generate(noise):
        cards = tf.zeros((tf.shape(noise)[0], 16, 16, 3), tf.uint8)
        return {outputs: tf.ensure_shape(cards, (None, 16, 16, 3))}

    export(folder, {name: ({"noise": tf.TensorSpec((None, 8), noise_dtype, "noise")}, generate)})


def export_discriminator(folder: Path, *, size: int = 16, logit: float = 0.0) -> None:
    def score(cards):
        rows = tf.reduce_mean(tf.cast(cards, tf.float32), axis=(1, 2, 3))
        return {"logit": rows * 0 + logit, "probability": rows / 255, "percentile": rows / 2.55}

    spec = tf.TensorSpec((None, size, size, 3), tf.uint8, "cards")
    export(folder, {"score": ({"cards": spec}, score)})


async def test_the_models_are_described_by_their_signatures(backend):
    assert await backend.info() == ModelInfo(version="1", noise_size=8, height=16, width=16)


async def test_the_answers_are_those_of_tf_serving(backend):
    with serve_models(MODELS) as stand_in:
        remote = TFServingBackend(stand_in.target, deadline=10.0)
        there = await remote.generate(NOISE)
        scored_there = await remote.score(there.cards)
        await remote.close()
    here = await backend.generate(NOISE)
    scored_here = await backend.score(here.cards)
    np.testing.assert_array_equal(here.cards, there.cards)
    assert (here.version, scored_here.version) == (there.version, scored_there.version)
    for name in ("logit", "probability", "percentile"):
        np.testing.assert_allclose(getattr(scored_here, name), getattr(scored_there, name), rtol=2e-6)


async def test_calls_at_once_each_get_their_own_cards(backend):
    rows = [noise.draw(seed=seed, n=2, size=8) for seed in range(8)]
    together = await asyncio.gather(*(backend.generate(row) for row in rows))
    for row, drawn in zip(rows, together, strict=True):
        np.testing.assert_array_equal(drawn.cards, (await backend.generate(row)).cards)


async def test_an_answer_does_not_depend_on_who_else_is_in_the_batch(backend):
    batcher = Batched(backend, deadline=60.0)
    rows = [noise.draw(seed=seed, n=1 + seed % 3, size=8) for seed in range(20)]
    drawn = await asyncio.gather(*(batcher.generate(row) for row in rows))
    scored = await asyncio.gather(*(batcher.score(answer.cards) for answer in drawn))
    for row, answer, judged in zip(rows, drawn, scored, strict=True):
        alone = await backend.generate(row)
        np.testing.assert_allclose(answer.cards.astype(int), alone.cards.astype(int), atol=1)
        judged_alone = await backend.score(answer.cards)
        np.testing.assert_allclose(judged.logit, judged_alone.logit, rtol=1e-4, atol=1e-5)


async def test_the_newest_version_that_both_models_have_is_served(store):
    for model in store.iterdir():
        for version in ("9", "20260131120000", "notanumber", ".staging-5"):
            shutil.copytree(model / "1", model / version)
    shutil.copytree(store / "generator" / "1", store / "generator" / "20260201000000")
    (store / "generator" / "20260301000000").mkdir()
    shutil.copytree(store / "discriminator" / "1", store / "discriminator" / "20260301000000")
    assert [version.number for version in complete_versions(store)] == [20260131120000, 9, 1]
    backend = EmbeddedBackend(store, deadline=60.0)
    assert (await backend.info()).version == "20260131120000"
    await backend.close()


async def test_a_version_that_is_broken_gives_way_to_the_one_before(store):
    for model in store.iterdir():
        shutil.copytree(model / "1", model / "2")
    shutil.rmtree(store / "generator" / "2" / "variables")
    backend = EmbeddedBackend(store, deadline=60.0)
    assert (await backend.info()).version == "1"
    await backend.close()


LOOK_EVERY = 0.2  # seconds, where a gateway takes ten times as many


def watching(store: Path) -> EmbeddedBackend:
    """A backend that soon notices another version."""
    return EmbeddedBackend(store, deadline=60.0, look_every=LOOK_EVERY)


async def answers_of_version(backend: Batched, version: str) -> set[str]:
    """Draw without a break until a version answers, and return the versions that did."""
    versions: set[str] = set()
    async with asyncio.timeout(60):
        while version not in versions:
            drawn = await asyncio.gather(*(backend.generate(NOISE) for _ in range(4)))
            versions |= {answer.version for answer in drawn}
    return versions


def publish(store: Path, version: str) -> None:
    for model in store.iterdir():
        shutil.copytree(model / "1", model / version)


async def test_a_newer_version_takes_over_while_every_request_is_answered(store):
    backend = Batched(watching(store), deadline=60.0)
    assert (await backend.info()).version == "1"
    publish(store, "2")
    assert await answers_of_version(backend, "2") <= {"1", "2"}
    assert (await backend.info()).version == "2"
    for model in store.iterdir():
        shutil.rmtree(model / "2")  # and back again
    await answers_of_version(backend, "1")
    await backend.close()


async def test_a_newer_version_that_loads_slowly_is_loaded_once(store):
    backend = watching(store)
    await backend.info()
    export_generator(store / "generator" / "2")
    naps = export_sleepy_discriminator(store / "discriminator" / "2", seconds=0.1)
    published = time.monotonic()
    async with asyncio.timeout(60):
        while (loaded := await backend.info()).version == "1":
            await asyncio.sleep(0.02)
    took = time.monotonic() - published
    assert took > 2 * LOOK_EVERY
    until = time.monotonic() + took
    while time.monotonic() < until:
        assert await backend.info() is loaded
        await asyncio.sleep(0.02)
    await backend.close()
    assert len(naps) == len(BATCH_SIZES)


async def test_of_newer_versions_the_newest_that_can_be_loaded_takes_over(store):
    backend = Batched(watching(store), deadline=60.0)
    await backend.info()
    for version in ("2", "3"):
        publish(store, version)
    shutil.rmtree(store / "generator" / "3" / "variables")
    assert await answers_of_version(backend, "2") <= {"1", "2"}
    await backend.close()


async def test_rows_for_models_that_were_replaced_meanwhile_are_to_be_asked_for_again(backend):
    info = await backend.info()
    wider = np.zeros((1, info.noise_size + 1), np.float32)
    larger = np.zeros((1, info.height + 8, info.width, 3), np.uint8)
    for asked in (
        backend.generate(wider),
        backend.generate(NOISE, np.zeros(len(NOISE), np.int32)),
        backend.score(larger),
    ):
        with pytest.raises(NotReady, match="replaced"):
            await asked


async def test_models_that_were_replaced_are_freed(store):
    gc.unfreeze()
    embedded = watching(store)
    backend = Batched(embedded, deadline=60.0)
    await backend.info()
    assert gc.get_freeze_count() > 100_000
    first = weakref.ref(embedded._pair)  # pyright: ignore[reportPrivateUsage, reportArgumentType]
    for version in ("2", "3"):  # what one exchange still finds in use the next one frees
        publish(store, version)
        await answers_of_version(backend, version)
    await backend.close()
    assert first() is None
    gc.unfreeze()


async def test_a_newer_version_that_is_broken_leaves_the_old_one_answering(store, caplog):
    backend = watching(store)
    await backend.info()
    publish(store, "2")
    shutil.rmtree(store / "generator" / "2" / "variables")
    async with asyncio.timeout(60):
        while "Version 2" not in caplog.text:
            assert (await backend.generate(NOISE)).version == "1"
            await asyncio.sleep(0.05)
    assert (await backend.generate(NOISE)).version == "1"
    await backend.close()


async def test_without_a_store_the_models_are_not_ready(tmp_path):
    assert "no model store" in await reason(tmp_path / "nowhere")
    assert "no version" in await reason(tmp_path)


@pytest.mark.parametrize("model", ["generator", "discriminator"])
async def test_half_a_pair_is_not_ready(store, model):
    shutil.rmtree(store / model)
    assert "no version in both" in await reason(store)


def remove_graph(version: Path) -> None:
    (version / "saved_model.pb").unlink()


def cut_graph(version: Path) -> None:
    data = (version / "saved_model.pb").read_bytes()
    (version / "saved_model.pb").write_bytes(data[: len(data) // 2])


def remove_variables(version: Path) -> None:
    shutil.rmtree(version / "variables")


def cut_variables(version: Path) -> None:
    data = version / "variables" / "variables.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:1000])


def flip_variables(version: Path) -> None:
    data = version / "variables" / "variables.data-00000-of-00001"
    content = bytearray(data.read_bytes())
    content[len(content) // 2] ^= 0xFF
    data.write_bytes(content)


def replace_by_text(version: Path) -> None:
    (version / "saved_model.pb").write_text("version https://git-lfs.github.com/spec/v1")


@pytest.mark.parametrize(
    "damage", [remove_graph, cut_graph, remove_variables, cut_variables, flip_variables, replace_by_text]
)
@pytest.mark.parametrize("model", ["generator", "discriminator"])
async def test_a_damaged_model_is_not_ready_and_says_so(store, model, damage):
    damage(store / model / "1")
    message = await reason(store)
    assert "no version" in message if damage is remove_graph else "damaged or incomplete" in message


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"name": "serving_default"}, "generator has no signature generate"),
        ({"outputs": "images"}, "gives no cards"),
        ({"noise_dtype": tf.float64}, r"takes noise as float64 \(\?, 8\)"),
    ],
)
async def test_a_model_with_other_tensors_is_not_ready_and_says_which(store, options, words, recwarn):
    shutil.rmtree(store / "generator" / "1")
    export_generator(store / "generator" / "1", **options)
    message = await reason(store)
    assert words.replace("\\", "") in message


async def test_a_pair_of_two_card_sizes_is_not_ready(store):
    shutil.rmtree(store / "discriminator" / "1")
    export_discriminator(store / "discriminator" / "1", size=24)
    assert "uint8 (?, 24, 24, 3)" in await reason(store)


async def test_the_kinds_are_those_of_the_model_card(store):
    export_labelled_generator(store / "generator" / "2", ["elves", "goblins"])
    shutil.copytree(store / "discriminator" / "1", store / "discriminator" / "2")
    backend = EmbeddedBackend(store, deadline=60.0)
    assert (await backend.info()).classes == ("elves", "goblins")
    drawn = await backend.generate(NOISE, np.array([1, 0, 1], np.int32))
    assert drawn.cards[:, 0, 0, 0].tolist() == [1, 0, 1]
    with pytest.raises(NotReady, match="replaced"):  # by models with kinds, since the request came
        await backend.generate(NOISE)
    await backend.close()


@pytest.mark.parametrize("classes", [None, [], ["elves", "elves"]])
async def test_kinds_without_names_are_not_ready(store, classes):
    shutil.rmtree(store / "generator" / "1")
    export_labelled_generator(store / "generator" / "1", classes)
    assert "takes label, but its model card has no classes" in await reason(store)


async def test_a_pair_that_answers_nonsense_is_not_ready(store):
    shutil.rmtree(store / "discriminator" / "1")
    export_discriminator(store / "discriminator" / "1", logit=float("nan"))
    assert "not finite" in await reason(store)


async def test_a_store_that_is_filled_later_is_served_without_a_restart(tmp_path):
    backend = EmbeddedBackend(tmp_path / "store", deadline=60.0)
    with pytest.raises(NotReady):
        await backend.info()
    shutil.copytree(MODELS, tmp_path / "store")
    assert (await backend.info()).version == "1"
    await backend.close()


async def test_a_broken_version_is_not_loaded_again_and_again(store):
    graph = store / "generator" / "1" / "saved_model.pb"
    whole = graph.read_bytes()
    cut_graph(graph.parent)
    backend = EmbeddedBackend(store, deadline=60.0)
    with pytest.raises(NotReady) as first:
        await backend.info()
    graph.write_bytes(whole)
    with pytest.raises(NotReady) as second:
        await backend.info()
    assert str(first.value) == str(second.value)
    began = time.monotonic()
    while time.monotonic() - began < 20:
        try:
            await backend.info()
            break
        except NotReady:
            await asyncio.sleep(0.2)
    assert 3 < time.monotonic() - began < 15
    await backend.close()


async def loaded(backend: EmbeddedBackend) -> None:
    """Wait for models that take longer to load than a call may wait."""
    async with asyncio.timeout(30):
        while True:
            try:
                await backend.info()
                return
            except NotReady:
                await asyncio.sleep(0.05)


async def test_a_load_that_takes_longer_than_the_deadline_goes_on(store):
    backend = EmbeddedBackend(store, deadline=0.001)
    with pytest.raises(NotReady, match="still loading"):
        await backend.info()
    under_way = asyncio.create_task(backend.info())
    await asyncio.sleep(0)
    under_way.cancel()
    await loaded(backend)
    await backend.close()


def export_sleepy_discriminator(folder: Path, *, seconds: float) -> list[float]:
    """Write a discriminator that sleeps at every call; return a list that grows by each nap.

    TensorFlow finds a Python function again only in the process that has saved it.
    """
    naps: list[float] = []

    def nap(cards):
        time.sleep(seconds)
        naps.append(seconds)
        return np.zeros(len(cards), np.float32)

    def score(cards):
        rows = tf.ensure_shape(tf.numpy_function(nap, [cards], tf.float32), (None,))
        return {"logit": rows, "probability": rows, "percentile": rows}

    spec = tf.TensorSpec((None, 16, 16, 3), tf.uint8, "cards")
    export(folder, {"score": ({"cards": spec}, score)})
    return naps


def export_slow_discriminator(folder: Path, *, steps: int) -> None:
    """Write a discriminator that works long at bright cards."""

    def score(cards):
        bright = tf.reduce_max(tf.cast(cards, tf.float32), axis=(1, 2, 3))
        count = tf.where(tf.reduce_max(bright) > 250, steps, 0)
        work = tf.while_loop(lambda i, _: i < count, lambda i, x: (i + 1, x * 0.5), (0, bright))[1]
        return {"logit": work * 0, "probability": work * 0, "percentile": work * 0}

    spec = tf.TensorSpec((None, 16, 16, 3), tf.uint8, "cards")
    export(folder, {"score": ({"cards": spec}, score)})


async def test_a_slow_call_ends_at_the_deadline_and_leaves_the_next_one_whole(store):
    shutil.rmtree(store / "discriminator" / "1")
    export_slow_discriminator(store / "discriminator" / "1", steps=200_000)
    shutil.rmtree(store / "generator" / "1")
    export_generator(store / "generator" / "1")
    patient = EmbeddedBackend(store, deadline=60.0)
    await patient.info()
    bright, dark = (np.full((2, 16, 16, 3), level, np.uint8) for level in (255, 0))
    embedded = EmbeddedBackend(store, deadline=60.0)
    await embedded.info()
    backend = Batched(embedded, deadline=0.05)
    began = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        await backend.score(bright)
    assert time.monotonic() - began < 1
    async with asyncio.timeout(60):
        while True:
            try:
                scored = await backend.score(dark)
                break
            except DeadlineExceeded:
                await asyncio.sleep(0.05)
    assert scored.logit.shape == (2,)
    await patient.close()
    await backend.close()


def export_picky_discriminator(folder: Path) -> None:
    """Write a discriminator that fails at white cards."""

    def score(cards):
        dark = tf.reduce_max(tf.cast(cards, tf.float32), axis=(1, 2, 3))
        with tf.control_dependencies([tf.debugging.assert_less(dark, 255.0, "a secret of the graph")]):
            dark = tf.identity(dark)
        return {"logit": dark, "probability": dark / 255, "percentile": dark / 2.55}

    spec = tf.TensorSpec((None, 16, 16, 3), tf.uint8, "cards")
    export(folder, {"score": ({"cards": spec}, score)})


async def test_a_model_that_fails_is_a_bad_answer_without_its_own_words(store):
    shutil.rmtree(store / "discriminator" / "1")
    export_picky_discriminator(store / "discriminator" / "1")
    shutil.rmtree(store / "generator" / "1")
    export_generator(store / "generator" / "1")
    backend = EmbeddedBackend(store, deadline=60.0)
    with pytest.raises(BadAnswer) as caught:
        await backend.score(np.full((1, 16, 16, 3), 255, np.uint8))
    assert "secret" not in str(caught.value)
    await backend.close()


def test_loading_leaves_the_terminal_to_the_gateway():
    """TensorFlow writes notes on import that no log level of its own reaches; what others write stays."""
    program = f"""
import asyncio, os
from pathlib import Path
from serving.embedded import EmbeddedBackend
from serving.quiet import start_up_notes_dropped
with start_up_notes_dropped():
    os.write(2, b"a word of somebody else's\\n")
print(asyncio.run(EmbeddedBackend(Path({str(MODELS)!r}), deadline=60).info()).noise_size)
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert (ran.stdout, ran.stderr) == ("8\n", "a word of somebody else's\n")


async def test_a_large_photograph_is_scored_alike_whether_decoded_whole_or_smaller():
    backend = EmbeddedBackend(STARTER, deadline=120.0)
    info = await backend.info()
    photographs = [
        pictures.file(pictures.photograph(1792, 1280, seed), "JPEG", quality=90) for seed in range(4)
    ]
    whole = np.stack([fit(decode(data).card, info.height, info.width) for data in photographs])
    smaller = np.stack([decode_upload(data, info.height, info.width).card for data in photographs])
    assert (whole != smaller).any()
    one, other = await backend.score(whole), await backend.score(smaller)
    await backend.close()
    assert np.abs(one.logit - other.logit).max() < 0.05
    assert np.abs(one.percentile - other.percentile).max() < 3


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a niceness for each thread")
@pytest.mark.parametrize("calls", sorted({1, cores()}))
def test_the_models_threads_share_the_cores_and_step_back_behind_the_event_loop(calls):
    looking = f"""
import asyncio, os, threading
from pathlib import Path
from serving import noise
from serving.embedded import EmbeddedBackend

async def main():
    backend = EmbeddedBackend(Path({str(MODELS)!r}), deadline=60.0, calls={calls})
    await backend.generate(noise.draw(seed=7, n=3, size=8))
    names = {{thread.native_id: thread.name for thread in threading.enumerate()}}
    for task in Path("/proc/self/task").iterdir():  # while none of them ends
        tid = int(task.name)
        print(names.get(tid) or (task / "comm").read_text().strip(), os.getpriority(os.PRIO_PROCESS, tid))
    await backend.close()

asyncio.run(main())
"""
    told = subprocess.run([sys.executable, "-c", looking], capture_output=True, text=True, check=True).stdout
    niceness = [(name, int(nice)) for name, nice in (line.split() for line in told.splitlines())]
    behind = min(19, os.getpriority(os.PRIO_PROCESS, 0) + BEHIND)
    assert all(nice == behind for name, nice in niceness if name.startswith(("tf_", "models", "loader")))
    of_calls = [name for name, nice in niceness if nice == behind and not name.startswith(("tf_", "loader"))]
    assert of_calls.count("models_0") == 1
    assert len(of_calls) == 1 + max(1, cores() // calls)  # TensorFlow does not name those that share a call
