"""Image features of cards, by EfficientNet-Lite0.

Metrics compare sets of cards in this space: pictures that look alike lie close together in it.
"""

import contextlib
import os
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from training.dataset import Dataset
from training.efficientnet import NAME, SIZE, efficientnet

Features = NDArray[np.float32]  # (n, width of the network's last layer)
Cards = NDArray[np.uint8]  # (n, height, width, 3)

SIDE = 224  # of the square that the network looks at, in pixels
BATCH = 16  # more is slower on a CPU: the activations leave its cache

CACHE = f"features-{NAME}.npz"  # beside a dataset
CHUNK = 512  # cards between two writes of it


def features(cards: Cards) -> Features:
    """Return float32 (n, 1280) for uint8 cards (n, height, width, 3) of any size: the pooled last layer.

    Row i depends on card i alone, to rounding. Each whole card is squeezed to a square first.
    """
    network = load_network()
    starts = range(0, len(cards), BATCH)
    rows = [network(squeezed(cards[start : start + BATCH], SIDE)).numpy() for start in starts]
    return np.concatenate(rows) if rows else np.empty((0, SIZE), np.float32)


def squeezed(cards: Cards, side: int) -> Cards:
    """Resize cards to squares with Pillow's bicubic filter, which smooths when it shrinks.

    Other resizers move FID by more than models differ (Parmar, Zhang and Zhu 2022).
    """

    def resize(card: Cards) -> Cards:
        return np.asarray(Image.fromarray(card).resize((side, side), Image.Resampling.BICUBIC))

    with ThreadPoolExecutor() as pool:
        return np.stack(list(pool.map(resize, cards)))


@cache
def load_network() -> Callable[[Cards], tf.Tensor]:
    """Read the weights once; return what maps uint8 (n, 224, 224, 3) to float32 (n, 1280)."""
    network = efficientnet(SIDE, SIDE)

    @tf.function(input_signature=[tf.TensorSpec((None, SIDE, SIDE, 3), tf.uint8)])
    def features(cards: tf.Tensor) -> tf.Tensor:
        return tf.reduce_mean(network(tf.cast(cards, tf.float32), training=False)[-1], axis=(1, 2))

    return features


def of_dataset(cards: Dataset, rows: NDArray[np.intp], folder: Path | None = None) -> Features:
    """Return features (len(rows), 1280) of some of a dataset's cards.

    With a folder, those computed before are read from a file there and the others are added to it.
    """
    file = folder and folder / CACHE
    known_rows, known = remembered(file, cards.fingerprint)
    missing = np.setdiff1d(rows, known_rows)
    starts = range(0, len(missing), CHUNK)
    for start in tqdm(starts, "features of real cards", unit_scale=CHUNK, disable=len(starts) < 2):
        part = missing[start : start + CHUNK]
        known_rows = np.concatenate([known_rows, part])
        known = np.concatenate([known, features(cards.cards[part])])
        remember(file, cards.fingerprint, known_rows, known)
    order = np.argsort(known_rows)
    return known[order[np.searchsorted(known_rows, rows, sorter=order)]]


def remembered(file: Path | None, fingerprint: str) -> tuple[NDArray[np.intp], Features]:
    """Read rows and their features; none where the file is missing, damaged or of other cards."""
    with contextlib.suppress(OSError, ValueError, KeyError, zipfile.BadZipFile):
        if file:
            # Opened here, since NumPy leaves a damaged file open.
            with file.open("rb") as opened, np.load(opened) as known:
                if str(known["fingerprint"]) == fingerprint:
                    return known["rows"], known["features"]
    return np.empty(0, np.intp), np.empty((0, SIZE), np.float32)


def remember(file: Path | None, fingerprint: str, rows: NDArray[np.intp], known: Features) -> None:
    """Write the file whole or not at all; where the disk takes none, they are computed again next time."""
    if not file:
        return
    staging = file.with_name(f".{os.getpid()}.{file.name}")
    try:
        np.savez(staging, fingerprint=fingerprint, rows=rows, features=known)
        staging.rename(file)
    except OSError:
        with contextlib.suppress(OSError):  # a read-only disk refuses even to remove what is not there
            staging.unlink()
