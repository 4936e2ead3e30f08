"""LitServe as its documentation writes it, batching on."""

import os

import litserve
import numpy as np
from drawing import ROWS, encode, load, noise
from fastapi import Response


class Cards(litserve.LitAPI):
    def setup(self, device):
        self.model, self.size = load()

    def decode_request(self, request):
        return noise(request["seed"], self.size), request["format"]

    def batch(self, inputs):
        return np.stack([row for row, _ in inputs]), [format for _, format in inputs]

    def predict(self, batch):
        rows, formats = batch
        return list(zip(self.model(noise=rows)["cards"].numpy(), formats, strict=True))

    def unbatch(self, output):
        return output

    def encode_response(self, output):
        card, format = output
        return Response(encode(card, format), media_type=f"image/{format}")


if __name__ == "__main__":
    api = Cards(max_batch_size=ROWS, batch_timeout=0.005)
    server = litserve.LitServer(api, accelerator="cpu", timeout=30)
    server.run(
        host="127.0.0.1", port=int(os.environ["PORT"]), generate_client_file=False, log_level="warning"
    )
