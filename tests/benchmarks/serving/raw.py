"""TF Serving's own protocol without a gateway: the most that its models can give on this machine."""

from typing import Any

import grpc.aio
import numpy as np

from serving import noise, wire
from serving.contract import GENERATE, SCORE, Signature
from serving.tfserving import TFServingBackend

OPTIONS = [("grpc.max_receive_message_length", -1)]


class Raw:
    """A client of a model server, as fast as one can be written; nothing is encoded as a picture."""

    def __init__(self, target: str, noise_size: int) -> None:
        self.noise_size = noise_size
        self.channel = grpc.aio.insecure_channel(target, options=OPTIONS)
        self.call = self.channel.unary_unary(wire.PREDICT)

    @classmethod
    async def to(cls, target: str) -> "Raw":
        """Connect, and ask how wide the noise is."""
        backend = TFServingBackend(target, 30.0)
        try:
            return cls(target, (await backend.info()).noise_size)
        finally:
            await backend.close()

    async def draw(self, seed: int, rows: int) -> np.ndarray:
        """Return the cards of so many seeds from this one on, uint8 (rows, height, width, 3)."""
        return await self.predict(GENERATE, noise.draw(seed, rows, self.noise_size))

    async def judge(self, cards: np.ndarray) -> np.ndarray:
        """Return each card's logit, float32 (rows,)."""
        return await self.predict(SCORE, cards)

    async def predict(self, signature: Signature, rows: np.ndarray) -> np.ndarray:
        """Return the first output of a signature."""
        messages = wire.messages()
        request: Any = messages.PredictRequest(output_filter=signature.outputs[:1])
        request.model_spec.name, request.model_spec.signature_name = signature.model, signature.name
        request.inputs[signature.input].CopyFrom(wire.to_tensor(rows))
        answer = messages.PredictResponse.FromString(await self.call(request.SerializeToString()))
        return wire.to_array(answer.outputs[signature.outputs[0]])

    async def close(self) -> None:
        """Hang up."""
        await self.channel.close()
