"""Features of Keras' InceptionV3, if its weights are on this machine; nothing here downloads them.

It is not the Inception that FID is defined by (TensorFlow's of 2015), so its numbers do not compare with
published ones.
"""

import os
from collections.abc import Callable
from pathlib import Path

import h5py
import keras
import numpy as np

from training.features import BATCH, Cards, Features, squeezed
from training.trouble import Trouble

WEIGHTS = "inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5"
SIDE = 299

Embed = Callable[[Cards], Features]
"""Maps uint8 cards (n, height, width, 3) to float32 (n, 2048)."""


class BadWeights(Trouble):
    """The file does not hold InceptionV3's weights."""


def weights_file() -> Path:
    """Return where Keras keeps the weights after keras.applications.InceptionV3(include_top=False)."""
    home = os.environ.get("KERAS_HOME") or Path.home() / ".keras"
    return Path(home) / "models" / WEIGHTS


def refuse_damaged(weights: Path) -> None:
    """Raise BadWeights for a file that is missing, cut short or of another kind."""
    try:
        h5py.File(weights).close()
    except OSError as error:
        raise BadWeights(unfit(weights, f"it is not a whole HDF5 file: {error}")) from None


def unfit(weights: Path, why: object) -> str:
    """Say that a file is of no use, and where a good one comes from."""
    return (
        f"{weights} does not hold InceptionV3's weights without its top ({why}). Delete it and let "
        "keras.applications.InceptionV3(include_top=False) fetch it anew, or name another file: --inception "
        "FILE"
    )


def inception(weights: Path) -> Embed:
    """Return the network with these weights. Raises BadWeights."""
    refuse_damaged(weights)  # before seconds of building a network
    network = keras.applications.InceptionV3(include_top=False, weights=None, pooling="avg")  # pyright: ignore[reportArgumentType]: None is documented
    try:
        network.load_weights(weights)
    except (OSError, ValueError, KeyError) as error:
        raise BadWeights(unfit(weights, error)) from None

    def features(cards: Cards) -> Features:
        starts = range(0, len(cards), BATCH)
        batches = (squeezed(cards[start : start + BATCH], SIDE) for start in starts)
        # The network was trained on pixels in [-1, 1].
        rows = [network(batch.astype(np.float32) / 127.5 - 1.0, training=False).numpy() for batch in batches]
        return np.concatenate(rows)

    return features
