"""Small SavedModels of the contract's shape, exported in a moment."""

import json
from collections.abc import Sequence
from pathlib import Path

import tensorflow as tf


def export_labelled_generator(folder: Path, classes: Sequence[str] | None) -> None:
    """Write a generator of 16x16 cards from noise of 8, as bright as their label; None: no `describe`."""

    @tf.function(
        input_signature=[
            tf.TensorSpec((None, 8), tf.float32, "noise"),
            tf.TensorSpec((None,), tf.int32, "label"),
        ]
    )
    def generate(noise, label):
        shade = tf.cast(label, tf.uint8)[:, None, None, None]
        return {"cards": tf.zeros((tf.shape(noise)[0], 16, 16, 3), tf.uint8) + shade}

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.int32, "index")])
    def describe(index):
        return {"card": tf.fill(tf.shape(index), json.dumps({"classes": classes}))}

    signatures = {"generate": generate} if classes is None else {"generate": generate, "describe": describe}
    tf.saved_model.save(tf.Module(), str(folder), signatures=signatures)
