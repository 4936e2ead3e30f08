"""The models in TF Serving, over gRPC, without TensorFlow."""

import asyncio
import json
import logging
import time
from collections.abc import Mapping
from typing import Any, cast

import grpc
import grpc.aio
import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from serving import signatures, tracing, wire
from serving.backend import (
    REPLACED,
    BackendError,
    BadAnswer,
    Cards,
    DeadlineExceeded,
    Generated,
    Labels,
    ModelInfo,
    Noise,
    NotReady,
    Scored,
    Unavailable,
)
from serving.breaker import PAUSE, Breaker
from serving.contract import DESCRIBE, GENERATE, MAX_ROWS, SCORE, Signature

log = logging.getLogger(__name__)

OPTIONS: list[tuple[str, Any]] = [
    # The default takes answers of up to 4 MiB, and what is larger looks like an overloaded server.
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # The default sends every call to one of the addresses that a name has.
    ("grpc.service_config", json.dumps({"loadBalancingConfig": [{"round_robin": {}}]})),
    # A channel made anew must not inherit the waiting time of the one it replaces.
    ("grpc.use_local_subchannel_pool", 1),
    # Notices a server that vanished without a word. Servers take more frequent pings for an attack.
    ("grpc.keepalive_time_ms", 300_000),
]

RECONNECT_AFTER = 1.0
"""Seconds after which a channel that cannot connect is made anew."""

PROBE_SECONDS = 1.0
"""How long a server that was away may take to say that it is back."""

QUEUE_FULL = "batch scheduling queue"
QUEUE_TIMEOUT = "timeout exceeded while waiting in batching queue"
TOO_MANY_ROWS = "larger than maximum input batch size"
MESSAGE_TOO_LARGE = "message larger than max"
OUT_OF_MEMORY = "OOM when allocating"
NO_SIGNATURE = "Serving signature key"

LESS_WORK = "Try again in a moment, or ask for fewer cards at once."
SEE_LOG = "If it stays so, the operator finds the reason in the gateway's log."
AWAY = f"The model server cannot be reached. Try again in a few seconds. {SEE_LOG}"
EXPORT = "Export a pair with `holofoil export RUN STORE`, and see that TF Serving is configured to load it."

START, LOADING, AVAILABLE = 10, 20, 30  # ModelVersionStatus.State


class TFServingBackend:
    """Sends rows to the newest pair of models that TF Serving has loaded."""

    def __init__(self, target: str, deadline: float) -> None:
        """Take a gRPC target, host:port or dns:///host:port, and the seconds that a call may last."""
        self._target = target
        self._deadline = deadline
        # Made at the first call: a grpc.aio channel belongs to the event loop it was made on.
        self._channel: grpc.aio.Channel | None = None
        self._opened_at = 0.0
        self._closing: set[asyncio.Task[None]] = set()
        self._breaker = Breaker()
        self._info: ModelInfo | None = None
        self._asking: asyncio.Task[ModelInfo] | None = None
        self._versions: dict[str, str] = {}  # of each model, when _info was learnt

    async def info(self) -> ModelInfo:
        """Describe the models; their version is the generator's.

        Raises NotReady while TF Serving has no version of a model loaded, BadAnswer when the two do not
        match or were not made for this gateway, Unavailable and DeadlineExceeded.
        """
        if self._info is not None and self._connected():
            return self._info
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask_info())
            self._asking.add_done_callback(retrieve_exception)
        # All who wait ask once, and the question outlives any of them.
        return await asyncio.shield(self._asking)

    async def generate(
        self, noise: Noise, labels: Labels | None = None, *, deadline: float | None = None
    ) -> Generated:
        """Draw one card for each row of noise, of the kind of its label where there are several."""
        asked = self._info
        inputs = signatures.generate_inputs(noise, labels)
        answer, version = await self._predict(GENERATE, inputs, deadline=deadline)
        info = await self.info()
        if labels is not None and asked is not None and asked.classes != info.classes:
            raise NotReady(REPLACED)
        return signatures.generated(answer, len(noise), info, version)

    async def score(self, cards: Cards, *, deadline: float | None = None) -> Scored:
        """Judge each card; its size must be the one that info() names."""
        answer, version = await self._predict(SCORE, {SCORE.input: cards}, deadline=deadline)
        return signatures.scored(answer, len(cards), version)

    async def close(self) -> None:
        """Let go of the connection; calls still under way are cut."""
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.close()
        tasks: list[asyncio.Task[Any]] = [*self._closing, *([self._asking] if self._asking else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _ask_info(self) -> ModelInfo:
        """Ask for the signatures of both models, and the names of the generator's kinds."""
        versions, specs = dict[str, str](), list[signatures.Specs | None]()
        for signature in (GENERATE, SCORE):
            versions[signature.model], found = await self._ask_signature(signature)
            specs.append(found)
        version = versions[GENERATE.model]
        try:
            classes = await self._ask_classes(version) if signatures.takes_labels(specs[0]) else ()
            info = signatures.model_info(specs[0], specs[1], version, classes)
        except signatures.BrokenContract as broken:
            raise BadAnswer(
                f"TF Serving's models do not fit each other and this gateway: {broken}. {EXPORT}"
            ) from None
        self._info, self._versions = info, versions
        return info

    async def _ask_signature(self, signature: Signature) -> tuple[str, signatures.Specs | None]:
        """Return the version of a model that TF Serving has loaded, and its signature if there is one."""
        messages = wire.messages()
        request = messages.GetModelMetadataRequest(metadata_field=["signature_def"])
        request.model_spec.name = signature.model
        answer = await self._call(wire.GET_MODEL_METADATA, request, messages.GetModelMetadataResponse)
        found = messages.SignatureDefMap()
        try:
            found.ParseFromString(answer.metadata["signature_def"].value)
        except DecodeError as error:
            raise self._unreadable(wire.GET_MODEL_METADATA, error) from None
        definition = found.signature_def.get(signature.name)
        return str(answer.model_spec.version.value), definition and specs_of(definition)

    async def _ask_classes(self, version: str) -> tuple[str, ...]:
        """Return the names that a version of the generator has for its kinds. Raises BrokenContract."""
        one_row = {DESCRIBE.input: np.zeros(1, np.int32)}
        answer, _ = await self._predict(DESCRIBE, one_row, version)
        return signatures.classes_of(answer)

    async def _predict(
        self,
        signature: Signature,
        inputs: Mapping[str, NDArray[Any]],
        version: str | None = None,
        deadline: float | None = None,
    ) -> tuple[Mapping[str, NDArray[Any]], str]:
        """Return the outputs of a signature, and the version that gave them: the newest if none is named."""
        if not len(inputs[signature.input]):
            # With batching, TF Serving would keep such a call for ever.
            raise ValueError("no rows to send")
        messages = wire.messages()
        request = messages.PredictRequest(output_filter=signature.outputs)
        request.model_spec.name = signature.model
        request.model_spec.signature_name = signature.name
        if version is not None:
            request.model_spec.version.value = int(version)
        for name, rows in inputs.items():
            request.inputs[name].CopyFrom(wire.to_tensor(rows))
        answer = await self._call(wire.PREDICT, request, messages.PredictResponse, deadline)
        answered = str(answer.model_spec.version.value)
        if answered != self._versions.get(signature.model):
            self._info = None
        try:
            return {name: wire.to_array(tensor) for name, tensor in answer.outputs.items()}, answered
        except ValueError as error:
            raise self._unreadable(wire.PREDICT, error) from None

    async def _call(
        self, method: str, request: wire.Message, response: type[Any], deadline: float | None = None
    ) -> wire.Message:
        """Send one message and return the answer, or raise the BackendError that its status stands for."""
        began = asyncio.get_running_loop().time()
        expires = began + self._deadline if deadline is None else deadline
        if not self._breaker.closed:
            await self._probe(expires)
        try:
            data = await self._send_to_any(method, request, expires)
        except grpc.aio.AioRpcError as error:
            self._learn(method, error)
            if error.code() == grpc.StatusCode.NOT_FOUND and method != wire.GET_MODEL_STATUS:
                raise await self._why_not_found(request.model_spec.name) from error
            raise backend_error(error.code(), error.details() or "", expires - began) from error
        self._breaker.succeeded()
        try:
            return response.FromString(data)
        except DecodeError as error:
            raise self._unreadable(method, error) from None

    async def _probe(self, expires: float) -> None:
        """Raise Unavailable while the server is known to be away; now and then one call asks for it."""
        now = asyncio.get_running_loop().time()
        if not self._breaker.may_probe(now):
            raise Unavailable(AWAY, self._breaker.wait(now))
        request = wire.messages().GetModelStatusRequest()
        request.model_spec.name = GENERATE.model
        try:
            await self._send(wire.GET_MODEL_STATUS, request, min(expires, now + PROBE_SECONDS))
        except grpc.aio.AioRpcError as error:
            if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                self._breaker.failed(asyncio.get_running_loop().time())
                raise Unavailable(AWAY, PAUSE) from error
        except asyncio.CancelledError:  # whoever asked has left, and nothing is known
            self._breaker.failed(now)
            raise
        self._breaker.succeeded()

    def _learn(self, method: str, error: grpc.aio.AioRpcError) -> None:
        """Take in a failure: whether the server can be reached, and whether its models may be others now."""
        details = error.details() or ""
        log.warning("TF Serving at %s, %s: %s %s", self._target, method, error.code().name, details)
        if error.code() != grpc.StatusCode.RESOURCE_EXHAUSTED and QUEUE_FULL not in details:
            self._info = None
        if cannot_be_reached(error):
            self._breaker.failed(asyncio.get_running_loop().time())
        elif error.code() != grpc.StatusCode.DEADLINE_EXCEEDED:  # which says neither
            self._breaker.succeeded()

    async def _send_to_any(self, method: str, request: wire.Message, expires: float) -> bytes:
        """Send one message, and once more where nobody was there: of several servers one may have gone."""
        try:
            return await self._send(method, request, expires)
        except grpc.aio.AioRpcError as error:
            if not cannot_be_reached(error):
                raise
        return await self._send(method, request, expires)

    async def _send(self, method: str, request: wire.Message, expires: float) -> bytes:
        """Send one message on a channel that may work."""
        channel = self._open_channel()
        timeout = max(0.0, expires - asyncio.get_running_loop().time())
        data, metadata = request.SerializeToString(), tracing.carried()
        return cast(bytes, await channel.unary_unary(method)(data, timeout=timeout, metadata=metadata))

    def _open_channel(self) -> grpc.aio.Channel:
        """Return the channel, made anew when it cannot connect.

        gRPC itself would try again: ever more seldom, up to 2 minutes apart for a name that does not resolve,
        as that of a container which is not started yet.
        """
        channel = self._channel
        if channel is not None and (
            channel.get_state() != grpc.ChannelConnectivity.TRANSIENT_FAILURE
            or time.monotonic() - self._opened_at < RECONNECT_AFTER
        ):
            return channel
        if channel is not None:
            # Calls that are still on the old channel may end there.
            task = asyncio.create_task(channel.close(self._deadline))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
        self._channel = grpc.aio.insecure_channel(self._target, options=OPTIONS)
        self._opened_at = time.monotonic()
        return self._channel

    def _connected(self) -> bool:
        return self._channel is not None and self._channel.get_state() == grpc.ChannelConnectivity.READY

    async def _why_not_found(self, model: str) -> BackendError:
        """Return why TF Serving has no version of a model to ask."""
        messages = wire.messages()
        request = messages.GetModelStatusRequest()
        request.model_spec.name = model
        try:
            answer = await self._call(wire.GET_MODEL_STATUS, request, messages.GetModelStatusResponse)
        except BackendError as error:
            return error
        states = {status.state for status in answer.model_version_status}
        if states & {START, LOADING, AVAILABLE}:
            return NotReady(f"TF Serving is still loading the model {model}. Try again in a few seconds.")
        for status in answer.model_version_status:
            if status.status.error_code:
                log.error(
                    "TF Serving could not load %s/%s: %s", model, status.version, status.status.error_message
                )
                return NotReady(f"TF Serving could not load version {status.version} of {model}. {EXPORT}")
        return NotReady(f"TF Serving has unloaded the model {model}. {EXPORT}")

    def _unreadable(self, method: str, error: Exception) -> BadAnswer:
        log.error("TF Serving at %s, %s: an answer that cannot be read: %s", self._target, method, error)
        return BadAnswer(f"The model server's answer could not be read. Try again. {SEE_LOG}")


def cannot_be_reached(error: grpc.aio.AioRpcError) -> bool:
    """Whether nobody is there. A server whose queue is full has the same status and differs by its text."""
    return error.code() == grpc.StatusCode.UNAVAILABLE and QUEUE_FULL not in (error.details() or "")


def backend_error(code: grpc.StatusCode, details: str, deadline: float) -> BackendError:
    """Return what a status of TF Serving, or of gRPC on its behalf, means to a client."""
    match code.name:
        case "UNAVAILABLE" if QUEUE_FULL not in details:
            return Unavailable(AWAY)
        case "DEADLINE_EXCEEDED":
            return DeadlineExceeded(f"The models took longer than {deadline:.3g} seconds. {LESS_WORK}")
        case "RESOURCE_EXHAUSTED" if QUEUE_TIMEOUT in details:
            return DeadlineExceeded(f"The model server was too busy to answer in time. {LESS_WORK}")
        case "RESOURCE_EXHAUSTED" if MESSAGE_TOO_LARGE in details:
            return BadAnswer(f"The cards are too large to send at once. Ask for fewer. {SEE_LOG}")
        case "RESOURCE_EXHAUSTED" if OUT_OF_MEMORY in details:
            return Unavailable(f"The model server has too little memory. {LESS_WORK} {SEE_LOG}")
        case "UNAVAILABLE" | "RESOURCE_EXHAUSTED":
            return Unavailable(f"The model server has more work than it can take. {LESS_WORK}")
        case "NOT_FOUND":
            return NotReady(f"TF Serving has no version of the models. {EXPORT}")
        case "INVALID_ARGUMENT" if TOO_MANY_ROWS in details:
            return BadAnswer(
                "The model server takes fewer cards at once than this gateway. Ask for fewer, "
                f"or set TF Serving's max_batch_size to {MAX_ROWS}."
            )
        case "FAILED_PRECONDITION" if NO_SIGNATURE in details:
            return BadAnswer(f"TF Serving's models are not made for this gateway. {EXPORT}")
        case _:
            return BadAnswer(f"The model server failed at this request. Try again. {SEE_LOG}")


def specs_of(definition: wire.Message) -> signatures.Specs:
    """Read a SignatureDef."""
    return signatures.Specs(
        {name: spec_of(tensor) for name, tensor in definition.inputs.items()},
        {name: spec_of(tensor) for name, tensor in definition.outputs.items()},
    )


def spec_of(tensor: wire.Message) -> signatures.Spec:
    """Read a TensorInfo."""
    dtype = wire.dtype_name(tensor.dtype)
    if tensor.tensor_shape.unknown_rank:
        return signatures.Spec(dtype, None)
    sizes = (None if dim.size < 0 else int(dim.size) for dim in tensor.tensor_shape.dim)
    return signatures.Spec(dtype, tuple(sizes))


def retrieve_exception(task: asyncio.Task[ModelInfo]) -> None:
    """Retrieve a task's exception, which asyncio would log as lost if all who waited for it have left."""
    if not task.cancelled():
        task.exception()
