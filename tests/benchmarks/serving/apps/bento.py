"""BentoML as its documentation writes it: a batchable service behind one for single requests."""

from typing import Annotated

import bentoml
import numpy as np
from bentoml.validators import ContentType
from drawing import ROWS, encode, load, noise


@bentoml.service(workers=1)
class Generator:
    def __init__(self):
        self.model, self.size = load()

    @bentoml.api(batchable=True, max_batch_size=ROWS, max_latency_ms=10_000)
    def draw(self, seeds: list[int]) -> np.ndarray:
        return self.model(noise=np.stack([noise(seed, self.size) for seed in seeds]))["cards"].numpy()


@bentoml.service(workers=1)
class Cards:
    generator = bentoml.depends(Generator)

    @bentoml.api
    async def png(self, seed: int) -> Annotated[bytes, ContentType("image/png")]:
        return encode((await self.generator.to_async.draw([seed]))[0], "png")

    @bentoml.api
    async def jpeg(self, seed: int) -> Annotated[bytes, ContentType("image/jpeg")]:
        return encode((await self.generator.to_async.draw([seed]))[0], "jpeg")
