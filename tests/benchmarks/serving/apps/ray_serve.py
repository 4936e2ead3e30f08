"""Ray Serve as its documentation writes it, batching on."""

import os

import numpy as np
import ray
from drawing import ROWS, encode, load, noise
from ray import serve
from starlette.requests import Request
from starlette.responses import Response


@serve.deployment(max_ongoing_requests=128)  # the default, 5, would let no batch become full
class Cards:
    def __init__(self):
        self.model, self.size = load()

    @serve.batch(max_batch_size=ROWS, batch_wait_timeout_s=0.005)
    async def draw(self, seeds: list[int]) -> list[np.ndarray]:
        return list(self.model(noise=np.stack([noise(seed, self.size) for seed in seeds]))["cards"].numpy())

    async def __call__(self, request: Request) -> Response:
        format = request.query_params["format"]
        card = await self.draw(int(request.query_params["seed"]))
        return Response(encode(card, format), media_type=f"image/{format}")


if __name__ == "__main__":
    ray.init(include_dashboard=False, log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": int(os.environ["PORT"])})
    serve.run(Cards.bind(), route_prefix="/generate", blocking=True)
