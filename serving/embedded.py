"""The models in this process: the newest pair of a model store, run by TensorFlow in threads of their own."""

import asyncio
import logging
import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from serving import heap, signatures, wire
from serving.backend import (
    BackendError,
    BadAnswer,
    Cards,
    Generated,
    Labels,
    ModelInfo,
    Noise,
    NotReady,
    Scored,
    Unavailable,
)
from serving.contract import BATCH_SIZES, DESCRIBE, GENERATE, SCORE, Signature
from serving.cores import cores, step_back
from serving.model_store import Version, advice, complete_versions, refuse_empty
from serving.quiet import start_up_notes_dropped

log = logging.getLogger(__name__)

Loaded: TypeAlias = Any
"""Something of TensorFlow's, which ships no types."""

Answer = Mapping[str, NDArray[Any]]
Call = Callable[[Mapping[str, NDArray[Any]]], Answer]  # arrays by the names of inputs and outputs

LOOK_EVERY = 2.0
"""Seconds between two looks for another version in the store."""

RETRY_NEWER = 60.0
"""Seconds before a version that could not be loaded is tried again, while another one answers."""

RETRY_AFTER = 5.0
"""The same while none does."""

INTRA_OP = "TF_NUM_INTRAOP_THREADS"
"""TensorFlow's own variable for the threads of one call."""

SERVING = "serve"
"""The tag of what a SavedModel holds for servers."""

IN_CALLER = -1
"""As ConfigProto.inter_op_parallelism_threads: operations run one by one in the thread that calls."""


@dataclass(frozen=True)
class Pair:
    """A loaded generator and discriminator."""

    info: ModelInfo
    generate: Call
    score: Call


class EmbeddedBackend:
    """Loads the newest complete version of a model store at the first call; it has threads of its own.

    While calls come it looks for another version every `look_every` seconds, loads it beside the old one and
    goes on with it; calls that are under way keep theirs.

    A call that runs cannot be stopped, and so has no deadline here: it is under way until it is over.
    """

    def __init__(
        self, models: Path, deadline: float, calls: int = 1, *, look_every: float = LOOK_EVERY
    ) -> None:
        """Take a model store, and the seconds that a call may wait for the models to load.

        So many calls run at once, and share the cores: several with a core each draw more cards than one with
        all cores, whose threads wait for each other.
        """
        self._models = models
        self._deadline = deadline
        self._calls = calls
        self._threads = ThreadPoolExecutor(calls, "models", step_back)
        self._loader = ThreadPoolExecutor(1, "loader", step_back)  # calls go on meanwhile
        self._look_every = look_every
        self._looked_at = -look_every
        self._pair: Pair | None = None
        self._looking: Future[None] | None = None
        self._broken: dict[Version, tuple[str, float]] = {}  # why, and when that was seen

    async def info(self) -> ModelInfo:
        """Describe the models, loading them first. Raises NotReady with the reason while there are none."""
        return (await self._loaded()).info

    async def generate(
        self, noise: Noise, labels: Labels | None = None, *, deadline: float | None = None
    ) -> Generated:
        """Draw one card for each row of noise, of the kind of its label where there are several."""
        pair = await self._loaded()
        signatures.check_noise(noise, labels, pair.info)
        answer = await self._in_thread(pair.generate, signatures.generate_inputs(noise, labels))
        return signatures.generated(answer, len(noise), pair.info, pair.info.version)

    async def score(self, cards: Cards, *, deadline: float | None = None) -> Scored:
        """Judge each card; its size must be the one that info() names."""
        pair = await self._loaded()
        signatures.check_cards(cards, pair.info)
        answer = await self._in_thread(pair.score, {SCORE.input: cards})
        return signatures.scored(answer, len(cards), pair.info.version)

    async def close(self) -> None:
        """Let go of the threads; a call that is running runs to its end."""
        for threads in (self._threads, self._loader):
            threads.shutdown(wait=False, cancel_futures=True)

    async def _loaded(self) -> Pair:
        """Return the models, or wait until they are loaded. Raises NotReady."""
        due = self._pair is None or time.monotonic() - self._looked_at >= self._look_every
        if due and (self._looking is None or self._looking.done()):
            self._looking = self._loader.submit(self._look)
        if self._pair is None:
            assert self._looking
            try:
                # The load goes on when one of those who wait for it does not.
                waiting = asyncio.shield(asyncio.wrap_future(self._looking))
                await asyncio.wait_for(waiting, self._deadline)
            except TimeoutError:
                raise NotReady("The models are still loading. Try again in a few seconds.") from None
            assert self._pair
        return self._pair

    def _look(self) -> None:
        """Load what is to be served, unless it is. Raises NotReady, which counts while nothing is.

        It returns no models: whoever keeps what it returns would keep them when they are long replaced.
        """
        try:
            self._load(complete_versions(self._models))
        except OSError as error:
            raise NotReady(
                f"The model store {self._models} cannot be read: {error.strerror}. "
                "Let the gateway's user read it."
            ) from error
        finally:
            self._looked_at = time.monotonic()

    def _load(self, versions: list[Version]) -> None:
        """Load the first version that can be loaded, unless it is there already. Raises NotReady."""
        refuse_empty(self._models, versions)
        for version in versions:
            if self._pair is not None and self._pair.info.version == str(version.number):
                return
            if self._is_known_as_broken(version):
                continue
            try:
                self._pair = load(version, threads_of_a_call(self._calls))
            except Exception as error:  # TensorFlow raises OSError, KeyError, its own errors and more
                log.exception("Version %d in %s cannot be loaded", version.number, self._models)
                self._broken[version] = reason_of(error), time.monotonic()
            else:
                heap.freeze()
                return
        newest = versions[0]
        reason, _ = self._broken[newest]
        raise NotReady(
            f"Version {newest.number} in {self._models} cannot be loaded: {reason}. {advice(self._models)}"
        )

    def _is_known_as_broken(self, version: Version) -> bool:
        """Whether to load a version has failed so lately that it is not tried again."""
        if version not in self._broken:
            return False
        _, seen = self._broken[version]
        return time.monotonic() - seen < (RETRY_AFTER if self._pair is None else RETRY_NEWER)

    async def _in_thread(self, call: Call, inputs: Mapping[str, NDArray[Any]]) -> Answer:
        """Run a model call in one of the models' threads."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, call, inputs)


def reason_of(error: Exception) -> str:
    """Say why a version cannot be loaded; what TensorFlow says goes to the log."""
    if isinstance(error, ModuleNotFoundError):
        return "TensorFlow is not installed, which `pip install holofoil[embedded]` does"
    if isinstance(error, signatures.BrokenContract | BackendError):
        return str(error).removesuffix(".")
    return "its files are damaged or incomplete"


def tensorflow() -> Loaded:
    """Import TensorFlow, quietly."""
    # TensorFlow would report on a machine without GPU as an error; real errors arrive as exceptions too.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # it calls loading into a session deprecated
    with start_up_notes_dropped():
        import tensorflow

    return tensorflow


def threads_of_a_call(calls: int) -> int:
    """Share the cores between so many calls at once, where TensorFlow would give all of them to each.

    0, TensorFlow's own choice, where its own variable says how many.
    """
    return 0 if INTRA_OP in os.environ else max(1, cores() // calls)


class Model:
    """A SavedModel in a session, as in TF Serving: a call costs less than of a function of TensorFlow 2."""

    def __init__(self, path: Path, threads: int) -> None:
        """Load a version's folder, and have so many threads work on each call, that of the caller among them.

        Where TensorFlow has computed in this process before, it keeps to the threads that it has.
        """
        tf = tensorflow()
        config = tf.compat.v1.ConfigProto(
            intra_op_parallelism_threads=threads, inter_op_parallelism_threads=IN_CALLER
        )
        self._session = tf.compat.v1.Session(graph=tf.Graph(), config=config)
        with self._session.graph.as_default():
            loaded = tf.compat.v1.saved_model.load(self._session, [SERVING], str(path))
        self._signatures = loaded.signature_def

    def specs(self, signature: Signature) -> signatures.Specs | None:
        """Read what a signature says of its tensors; None where the model has no such signature."""
        return wire.specs_of(self._signatures[signature.name]) if signature.name in self._signatures else None

    def call(self, signature: Signature) -> Call:
        """Return a signature as a function of arrays, which keeps the model alive."""
        import tensorflow as tf
        from tensorflow.core.protobuf.config_pb2 import CallableOptions

        definition = self._signatures[signature.name]
        inputs, outputs = list(definition.inputs), list(definition.outputs)
        options = CallableOptions(
            feed=[definition.inputs[name].name for name in inputs],
            fetch=[definition.outputs[name].name for name in outputs],
        )
        # Session.make_callable, which is public, checks shapes and copies: a tenth longer for one card.
        run = self._session._make_callable_from_options(options)

        def call(arrays: Mapping[str, NDArray[Any]]) -> Answer:
            try:
                return dict(zip(outputs, run(*(arrays[name] for name in inputs)), strict=True))
            except tf.errors.ResourceExhaustedError as error:
                log.error("%s ran out of memory: %s", signature.model, error)
                raise Unavailable("The models have too little memory. Ask for fewer cards at once.") from None
            except tf.errors.OpError as error:
                log.error("%s failed: %s", signature.model, error)
                raise BadAnswer(
                    f"The {signature.model} failed at this request. {signatures.ANOTHER_PAIR}"
                ) from None

        return call


def load(version: Version, threads: int) -> Pair:
    """Load both models and run each at every batch size, so that no request pays for the first run."""
    generator, discriminator = (Model(path, threads) for path in (version.generator, version.discriminator))
    generate, score = generator.specs(GENERATE), discriminator.specs(SCORE)
    classes = classes_of(generator) if signatures.takes_labels(generate) else ()
    info = signatures.model_info(generate, score, str(version.number), classes)
    pair = Pair(info, generator.call(GENERATE), discriminator.call(SCORE))
    warm_up(pair)
    return pair


def classes_of(generator: Model) -> tuple[str, ...]:
    """Ask a generator for the names of its kinds. Raises BrokenContract."""
    if generator.specs(DESCRIBE) is None:
        raise signatures.no_names()
    return signatures.classes_of(generator.call(DESCRIBE)({DESCRIBE.input: np.zeros(1, np.int32)}))


def warm_up(pair: Pair) -> None:
    """Run both models at every batch size. Raises BadAnswer."""
    info = pair.info
    for rows in BATCH_SIZES:
        noise = np.zeros((rows, info.noise_size), np.float32)
        labels = np.zeros(rows, np.int32) if info.classes else None
        answer = pair.generate(signatures.generate_inputs(noise, labels))
        drawn = signatures.generated(answer, rows, info, info.version)
        signatures.scored(pair.score({SCORE.input: drawn.cards}), rows, info.version)
