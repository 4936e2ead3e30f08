"""A FastAPI application as tutorials write it: the model loaded at import, one call of it a request."""

import numpy as np
from drawing import encode, load, noise
from fastapi import FastAPI, Response

app = FastAPI()
model, size = load()


@app.get("/generate")
def generate(seed: int, format: str = "png"):
    cards = model(noise=noise(seed, size)[np.newaxis])["cards"].numpy()
    return Response(encode(cards[0], format), media_type=f"image/{format}")
