"""What it costs to turn the starter models' cards into files, in this process and in TensorFlow's graph.

    python -m tests.benchmarks.encoding [--seconds S]

CPU milliseconds and kilobytes for one card, and wall milliseconds for one card where two threads encode 16.
Cards of 80x112 are as drawn; those of 256x256 are the same, enlarged.
"""

import argparse
import io
import os
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image

from serving import cards, noise, png
from serving.contract import GENERATE
from serving.embedded import load
from serving.model_store import complete_versions
from serving.settings import STARTER_MODELS

ROWS, THREADS, TRIES = 16, 2, 3

Encode = Callable[[np.ndarray], bytes]


def main() -> None:
    """Print a table for each size."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=0.3, help="that each figure is measured for")
    seconds = parser.parse_args().seconds
    drawn = starter_cards()
    for height, width in (drawn.shape[1:3], (256, 256)):
        batch = np.stack([cards.fit(card, height, width) for card in drawn])
        print(f"\n{width}x{height}{'CPU ms':>32}{'in 2 threads, ms':>20}{'kB':>9}")
        for name, encode in encoders():
            report(
                name, per_card(encode, batch, seconds), in_threads(encode, batch, seconds), encode(batch[0])
            )
        for name, function in graphs():
            report(name, *in_graph(function, batch, seconds))


def starter_cards() -> np.ndarray:
    """Draw uint8 (16, height, width, 3)."""
    pair = load(complete_versions(STARTER_MODELS)[0], THREADS)
    return pair.generate({GENERATE.input: noise.draw(0, ROWS, pair.info.noise_size)})[GENERATE.outputs[0]]


def encoders() -> Iterator[tuple[str, Encode]]:
    """Yield each way to encode one card in this process."""
    for level in (0, 1, 3, 6):
        yield f"PNG, Pillow, level {level}", pillow("PNG", compress_level=level)
    for name, strategy in (
        ("filtered", zlib.Z_FILTERED),
        ("Huffman alone", zlib.Z_HUFFMAN_ONLY),
        ("runs", zlib.Z_RLE),
    ):
        yield f"PNG, Pillow, level 1, {name}", pillow("PNG", compress_level=1, compress_type=strategy)
    yield "PNG, serving/png.py", png.encode
    for quality in (75, 90):
        yield f"JPEG, quality {quality}", pillow("JPEG", quality=quality)
    for method in (0, 2, 4):
        yield f"WebP, quality 90, method {method}", pillow("WEBP", quality=90, method=method)
    yield "WebP without loss, method 0", pillow("WEBP", lossless=True, quality=0, method=0)


def pillow(format: str, **options: Any) -> Encode:
    """Encode by Pillow."""

    def encode(card: np.ndarray) -> bytes:
        file = io.BytesIO()
        Image.fromarray(card).save(file, format, **options)
        return file.getvalue()

    return encode


def graphs() -> Iterator[tuple[str, Callable[[tf.Tensor], tf.Tensor]]]:
    """Yield each way to encode a batch in TensorFlow's graph."""
    for level in (1, 6):

        def encode(card: tf.Tensor, level: int = level) -> tf.Tensor:
            return tf.io.encode_png(card, compression=level)

        yield f"PNG, in the graph, level {level}", encode
    yield "JPEG, in the graph, quality 90", lambda card: tf.io.encode_jpeg(card, quality=90)


def per_card(encode: Encode, batch: np.ndarray, seconds: float) -> float:
    """Return CPU milliseconds for a card, the best of a few tries."""
    return best(lambda: [encode(card) for card in batch], time.process_time, seconds) / ROWS


def in_threads(encode: Encode, batch: np.ndarray, seconds: float) -> float:
    """Return wall milliseconds for a card where two threads share a batch."""
    with ThreadPoolExecutor(THREADS) as pool:
        return best(lambda: list(pool.map(encode, batch)), time.perf_counter, seconds) / ROWS


def in_graph(
    encode: Callable[[tf.Tensor], tf.Tensor], batch: np.ndarray, seconds: float
) -> tuple[float, float, bytes]:
    """Return CPU and wall milliseconds for a card, and the first file."""
    graph = tf.function(
        lambda rows: tf.map_fn(encode, rows, fn_output_signature=tf.string, parallel_iterations=ROWS)
    )
    rows = tf.constant(batch)
    files = graph(rows).numpy()
    times = [
        best(lambda: graph(rows).numpy(), clock, seconds) / ROWS
        for clock in (time.process_time, time.perf_counter)
    ]
    return times[0], times[1], files[0]


def best(work: Callable[[], object], clock: Callable[[], float], seconds: float) -> float:
    """Return milliseconds that one call takes, the least of TRIES means: what else runs here only adds."""
    means: list[float] = []
    for _ in range(TRIES):
        start, calls = clock(), 0
        while clock() - start < seconds:
            work()
            calls += 1
        means.append(1000 * (clock() - start) / calls)
    return min(means)


def report(name: str, cpu: float, wall: float, file: bytes) -> None:
    """Print one row."""
    print(f"{name:40}{cpu:8.2f}{wall:14.2f}{len(file) / 1000:14.1f}", flush=True)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()
