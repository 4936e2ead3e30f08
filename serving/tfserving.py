"""The models in TF Serving, over gRPC, without TensorFlow."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

import grpc
import grpc.aio
import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from serving import signatures, wire
from serving.backend import (
    REPLACED,
    BackendError,
    BadAnswer,
    Cards,
    Generated,
    Labels,
    ModelInfo,
    Noise,
    NotReady,
    Scored,
)
from serving.channel import Channel
from serving.contract import DESCRIBE, GENERATE, SCORE, Signature
from serving.grpc_errors import EXPORT, SEE_LOG, backend_error, is_overload

log = logging.getLogger(__name__)

START, LOADING, AVAILABLE = 10, 20, 30  # ModelVersionStatus.State


class TFServingBackend:
    """Sends rows to the newest pair of models that TF Serving has loaded."""

    def __init__(self, target: str, deadline: float) -> None:
        """Take a gRPC target, host:port or dns:///host:port, and the seconds that a call may last."""
        self._target = target
        self._deadline = deadline
        self._channel = Channel(target, deadline)
        self._info: ModelInfo | None = None
        self._asking: asyncio.Task[ModelInfo] | None = None
        self._versions: dict[str, str] = {}  # of each model, when _info was learnt

    async def info(self) -> ModelInfo:
        """Describe the models; their version is the generator's.

        Raises NotReady while TF Serving has no version of a model loaded, BadAnswer when the two do not
        match or were not made for this gateway, Unavailable and DeadlineExceeded.
        """
        if self._info is not None and self._channel.connected:
            return self._info
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask_info())
            self._asking.add_done_callback(retrieve_exception)
        # All who wait share one question, which outlives any of them.
        return await asyncio.shield(self._asking)

    async def generate(
        self, noise: Noise, labels: Labels | None = None, *, deadline: float | None = None
    ) -> Generated:
        """Draw one card for each row of noise, of the kind of its label where there are several."""
        asked = self._info
        inputs = signatures.generate_inputs(noise, labels)
        try:
            answer, version = await self._predict(GENERATE, inputs, deadline=deadline)
        except BadAnswer:
            signatures.check_noise(noise, labels, await self.info())
            raise
        info = await self.info()
        if labels is not None and asked is not None and asked.classes != info.classes:
            raise NotReady(REPLACED)
        return signatures.generated(answer, len(noise), info, version)

    async def score(self, cards: Cards, *, deadline: float | None = None) -> Scored:
        """Judge each card; its size must be the one that info() names."""
        try:
            answer, version = await self._predict(SCORE, {SCORE.input: cards}, deadline=deadline)
        except BadAnswer:
            signatures.check_cards(cards, await self.info())
            raise
        return signatures.scored(answer, len(cards), version)

    async def close(self) -> None:
        """Close the connection; calls still under way are cut off."""
        await self._channel.close()
        if self._asking:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)

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
        return str(answer.model_spec.version.value), definition and wire.specs_of(definition)

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
            # With batching, TF Serving would never answer such a call.
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
        try:
            data = await self._channel.send(method, request.SerializeToString(), expires)
        except grpc.aio.AioRpcError as error:
            log.warning(
                "TF Serving at %s, %s: %s %s", self._target, method, error.code().name, error.details() or ""
            )
            if not is_overload(error):
                self._info = None
            if error.code() == grpc.StatusCode.NOT_FOUND and method != wire.GET_MODEL_STATUS:
                raise await self._why_not_found(request.model_spec.name) from error
            raise backend_error(error.code(), error.details() or "", expires - began) from error
        try:
            return response.FromString(data)
        except DecodeError as error:
            raise self._unreadable(method, error) from None

    async def _why_not_found(self, model: str) -> BackendError:
        """Return why TF Serving has no version of a model."""
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


def retrieve_exception(task: asyncio.Task[ModelInfo]) -> None:
    """Retrieve a task's exception, which asyncio would log as lost if all who waited for it have left."""
    if not task.cancelled():
        task.exception()
