"""What every contender does alike: the noise of a seed, and a picture's bytes, as Holofoil makes them."""

import io
import os
from pathlib import Path

import numpy as np
from PIL import Image

ROWS = 16  # most in a batch, as Holofoil's requests


def load():
    """Load the generator's SavedModel; return its signature and the width of its noise."""
    import tensorflow as tf

    (version,) = (Path(os.environ["STORE"]) / "generator").glob("[0-9]*")
    model = tf.saved_model.load(str(version))
    signature = model.signatures["generate"]
    signature.model = model  # the signature alone would not keep its weights alive
    return signature, signature.structured_input_signature[1]["noise"].shape[1]


def noise(seed: int, size: int) -> np.ndarray:
    """Return one row of noise, float32 (size,)."""
    return np.random.Generator(np.random.Philox(seed)).standard_normal(size).astype(np.float32)


def encode(card: np.ndarray, format: str) -> bytes:
    """Write a card as PNG or JPEG. Level 1 is Holofoil's: Pillow's own is twice as slow."""
    file = io.BytesIO()
    if format == "png":
        Image.fromarray(card).save(file, "PNG", compress_level=1)
    else:
        Image.fromarray(card).save(file, "JPEG", quality=90)
    return file.getvalue()
