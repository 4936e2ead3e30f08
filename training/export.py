"""A run becomes a pair of SavedModels in the model store: whole, or not at all."""

import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow_serving.apis import model_pb2, predict_pb2, prediction_log_pb2

from serving import contract
from serving.contract import DESCRIBE_INPUT, DESCRIBE_NAME, DESCRIBE_OUTPUT, GENERATE, SCORE
from training import dataset
from training.calibration import Calibration, calibrate
from training.config import Config
from training.dataset import Dataset
from training.models import Networks, to_pixels, to_unit
from training.run import BadRun, Run
from training.trouble import Trouble

Archive = Any  # keras.export.ExportArchive, which is no class but picks one

FAKES = 1024  # generated cards that the probability is calibrated on
BATCH = 64

# TF Serving's text format: Int64Value fields take { value: n }, repeated ones do not.
BATCHING = "\n".join(
    [
        f"max_batch_size {{ value: {contract.BATCH_SIZES[-1]} }}",
        "batch_timeout_micros { value: 0 }",
        "max_enqueued_batches { value: 8 }",
        *(f"allowed_batch_sizes: {size}" for size in contract.BATCH_SIZES),
    ]
)


class BadStore(Trouble):
    """The store did not take the models."""


def export(folder: Path, store: Path, data: Path | None = None) -> int:
    """Publish a run's averaged generator and its discriminator; return their version.

    The probability is calibrated on the run's held-out cards, read from `data` or from where they were at
    training. Raises BadRun if the run has no checkpoint or its cards are gone or others, BadDataset if they
    are damaged, BadStore if the store did not take the models.
    """
    run = Run.open(folder)
    networks = Networks.build(run.config)
    images = run.restore(networks)
    cards = cards_of(run, data)
    calibration = calibrate(*judgements(run.config, networks, cards))
    version = next_version(store)
    card = json.dumps(model_card(run.config, version, images, cards, calibration))
    folders: list[Path] = []
    try:
        folders.append(
            staged(store, SCORE.model, discriminator_archive(run.config, networks, card, calibration), card)
        )
        folders.append(staged(store, GENERATE.model, generator_archive(run.config, networks, card), card))
        publish(folders, version)
    finally:
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)
    return version


def cards_of(run: Run, data: Path | None) -> Dataset:
    """Open the dataset of a run, where it was at training unless told otherwise."""
    place = data or Path(run.data.folder)
    if data is None and not place.exists():
        raise BadRun(f"The run's dataset is no longer at {place}. Say where it is: --data FOLDER")
    cards = dataset.load(place)
    run.refuse_other_data(cards)
    return cards


def publish(folders: list[Path], version: int) -> None:
    """Give staged models their version, all or none. Raises BadStore if another export took it."""
    published: list[Path] = []
    try:
        for folder in folders:
            published.append(folder.rename(folder.parent / str(version)))
            sync(folder.parent)
    except OSError as error:
        for folder in published:
            shutil.rmtree(folder, ignore_errors=True)
        raise BadStore(
            f"Version {version} could not be published ({error.strerror}): perhaps another export is "
            "running. The store is as it was; export again."
        ) from error


def judgements(
    config: Config, networks: Networks, cards: Dataset
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the discriminator's logits of all held-out real cards and of as many fakes as FAKES."""
    noise = tf.random.stateless_normal((FAKES, config.noise_size), [config.seed, 2])
    fakes = (to_pixels(networks.average(rows, training=False)) for rows in tf.split(noise, FAKES // BATCH))
    held_out = cards.cards[cards.holdout]
    reals = (held_out[start : start + BATCH] for start in range(0, len(held_out), BATCH))

    def logits(batches: Iterable[tf.Tensor]) -> NDArray[np.float32]:
        return np.concatenate([networks.discriminator(to_unit(batch), training=False) for batch in batches])

    return logits(reals), logits(fakes)


def next_version(store: Path) -> int:
    """Return the UTC time as YYYYMMDDHHMMSS, or one more than the newest version if that is not smaller."""
    now = int(datetime.now(UTC).strftime("%Y%m%d%H%M%S"))
    taken = [
        int(path.name)
        for model in contract.MODELS
        for path in (store / model).glob("*")
        if contract.is_version(path.name)
    ]
    return max([now, *(version + 1 for version in taken)])


def model_card(
    config: Config, version: int, images: int, cards: Dataset, calibration: Calibration
) -> dict[str, object]:
    """Describe the pair: what it is, what it was trained on, how its probability was calibrated."""
    return {
        "version": version,
        "noise_size": config.noise_size,
        "height": config.height,
        "width": config.width,
        "preset": config.preset,
        "images_seen": images,
        "training_cards": len(cards.train),
        "data": cards.fingerprint,
        "calibration": {
            "slope": calibration.slope,
            "intercept": calibration.intercept,
            "held_out_cards": len(calibration.reference),
            "generated_cards": FAKES,
            "ranked_right": calibration.ranked_right,
        },
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
    }


def generator_archive(config: Config, networks: Networks, card: str) -> Archive:
    """Return the generator with the signatures of the contract."""

    def generate(noise: tf.Tensor) -> dict[str, tf.Tensor]:
        return {GENERATE.outputs[0]: to_pixels(networks.average(noise, training=False))}

    return archive(
        (GENERATE.name, generate, tf.TensorSpec((None, config.noise_size), tf.float32, GENERATE.input)),
        describe_endpoint(card),
    )


def discriminator_archive(config: Config, networks: Networks, card: str, calibration: Calibration) -> Archive:
    """Return the discriminator with the signatures of the contract."""
    reference = tf.constant(calibration.reference)

    def score(cards: tf.Tensor) -> dict[str, tf.Tensor]:
        logit = networks.discriminator(to_unit(cards), training=False)
        below = tf.cast(tf.searchsorted(reference, logit), tf.float32)
        probability = tf.sigmoid(calibration.slope * logit + calibration.intercept)
        percentile = 100.0 * below / float(len(calibration.reference))
        return dict(zip(SCORE.outputs, (logit, probability, percentile), strict=True))

    shape = (None, config.height, config.width, 3)
    return archive(
        (SCORE.name, score, tf.TensorSpec(shape, tf.uint8, SCORE.input)),
        describe_endpoint(card),
    )


Endpoint = tuple[str, Callable[[tf.Tensor], dict[str, tf.Tensor]], tf.TensorSpec]


def describe_endpoint(card: str) -> Endpoint:
    """Return the signature that answers each row with the model card."""

    def describe(index: tf.Tensor) -> dict[str, tf.Tensor]:
        return {DESCRIBE_OUTPUT: tf.fill(tf.shape(index), card)}

    return DESCRIBE_NAME, describe, tf.TensorSpec((None,), tf.int32, DESCRIBE_INPUT)


def archive(*endpoints: Endpoint) -> Archive:
    """Collect endpoints, each with its variables: track() would store them a second time (keras#23553)."""
    made = keras.export.ExportArchive()
    for name, function, spec in endpoints:
        made.add_endpoint(name, function, input_signature=[spec])
    return made


def staged(store: Path, model: str, content: Archive, card: str) -> Path:
    """Write one model completely under a name that no server takes for a version; return its folder."""
    folder = store / model / f".staging-{uuid.uuid4()}"
    folder.mkdir(parents=True)
    try:
        content.write_out(folder, verbose=False)
        extra = folder / "assets.extra"
        extra.mkdir()
        (extra / "model_card.json").write_text(card)
        write_warm_up(extra / "tf_serving_warmup_requests", folder)
        (folder / "batching_params.pbtxt").write_text(BATCHING + "\n")
        for path in folder.rglob("*"):
            sync(path)
        sync(folder)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return folder


def write_warm_up(path: Path, saved_model: Path) -> None:
    """Write one record a signature and batch size; each is answered here first.

    TF Serving refuses a model whose warm-up record fails.
    """
    loaded = tf.saved_model.load(str(saved_model))
    with tf.io.TFRecordWriter(str(path)) as records:
        for name in (GENERATE.name, SCORE.name, DESCRIBE_NAME):
            if name not in loaded.signatures:
                continue
            signature = loaded.signatures[name]
            ((argument, spec),) = signature.structured_input_signature[1].items()
            for rows in contract.BATCH_SIZES:
                zeros = tf.zeros([rows, *spec.shape[1:]], spec.dtype)
                signature(**{argument: zeros})
                request = predict_pb2.PredictRequest(
                    model_spec=model_pb2.ModelSpec(name=saved_model.parent.name, signature_name=name),
                    inputs={argument: tf.make_tensor_proto(zeros)},
                )
                log = prediction_log_pb2.PredictionLog(
                    predict_log=prediction_log_pb2.PredictLog(request=request)
                )
                records.write(log.SerializeToString())


def sync(path: Path) -> None:
    """Have the disk hold a file or a folder's entries before anyone is told of it."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
