"""A run becomes a pair of SavedModels in the model store: whole, or not at all."""

import json
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
from serving.contract import CLASSES, DESCRIBE, GENERATE, LABEL, SCORE
from training import dataset
from training.calibration import Calibration, calibrate
from training.config import Config
from training.dataset import BadDataset, Dataset
from training.models import Networks
from training.refusals import refusal_of
from training.run import BadRun, Run
from training.served import Served
from training.staging import sync, sync_tree
from training.transfer import keep_trained
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
    """Publish the averaged generator and the discriminator of a run's best checkpoint; return their version.

    Where none was evaluated, the newest is the best.

    The probability is calibrated on the run's held-out cards, read from `data` or from where they were at
    training. Raises BadRun if the run has no checkpoint or its cards are gone or others, BadDataset if they
    are damaged or none is held out, BadStore if the store did not take the models.
    """
    run = Run.open(folder)
    networks = Networks.build(run.config)
    images = run.restore(networks, "best")
    return export_networks(run.config, networks, images, cards_of(run, data), store)


def export_networks(config: Config, networks: Networks, images: int, cards: Dataset, store: Path) -> int:
    """Publish networks that have seen so many images of these cards; return their version."""
    served = Served(config, networks, cards.aspect)
    calibration = calibrate(*judgements(config, served, cards))
    version = next_version(store)
    card = json.dumps(model_card(config, served, version, images, cards, calibration))
    folders: list[Path] = []
    try:
        archive = discriminator_archive(served, card, calibration)
        folders.append(write_model(store, SCORE.model, archive, card))
        archive = generator_archive(config, served, card)
        other = None if served.generator is networks.average else networks.average
        folders.append(write_model(store, GENERATE.model, archive, card, other))
        publish(folders, version)
    except (tf.errors.OpError, OSError) as error:
        place = getattr(error, "filename", None) or store
        raise BadStore(
            f"{refusal_of(error, f'The models could not be written to {place}')} Nothing was published."
        ) from error
    finally:
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)
    return version


def cards_of(run: Run, data: Path | None) -> Dataset:
    """Open the dataset of a run, where it was at training unless told otherwise."""
    place = data or Path(run.data.folder)
    if data is None and not place.exists():
        raise BadRun(f"The run's dataset is no longer at {place}. Say where it is: --data FOLDER")
    cards = dataset.load(place, labels="folders" if run.config.classes else "none")
    run.refuse_other_data(cards)
    if not len(cards.holdout):
        raise BadDataset(
            f"{place} holds out no card, and the probability is calibrated on those. Prepare the same "
            "pictures anew and say where they are: --data FOLDER"
        )
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
    config: Config, served: Served, cards: Dataset
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the discriminator's logits of all held-out real cards and of as many fakes as FAKES."""
    noise = tf.random.stateless_normal((FAKES, config.noise_size), [config.seed, 2])
    inputs = [noise, *([fake_labels(config, cards)] if config.classes else [])]
    rows = zip(*(tf.split(values, FAKES // BATCH) for values in inputs), strict=True)
    fakes = (served.draw(*batch) for batch in rows)
    held_out = cards.cards[cards.holdout]
    reals = (held_out[start : start + BATCH] for start in range(0, len(held_out), BATCH))

    def logits(batches: Iterable[tf.Tensor]) -> NDArray[np.float32]:
        return np.concatenate([served.judge(batch) for batch in batches])

    return logits(reals), logits(fakes)


def fake_labels(config: Config, cards: Dataset) -> NDArray[np.int32]:
    """Draw the labels of FAKES generated cards from those of the training cards, in their proportions."""
    stream = np.random.Generator(np.random.Philox([config.seed, 2]))
    return stream.choice(cards.labels[cards.train], FAKES)


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
    config: Config, served: Served, version: int, images: int, cards: Dataset, calibration: Calibration
) -> dict[str, object]:
    """Describe the pair: what it is, what it was trained on, how its probability was calibrated."""
    height, width = served.display
    return {
        "version": version,
        "noise_size": config.noise_size,
        "height": height,
        "width": width,
        "native_height": config.height,
        "native_width": config.width,
        CLASSES: config.classes,
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


def generator_archive(config: Config, served: Served, card: str) -> Archive:
    """Return the generator with the signatures of the contract."""

    def generate(noise: tf.Tensor, *label: tf.Tensor) -> dict[str, tf.Tensor]:
        return {GENERATE.outputs[0]: served.draw(noise, *label)}

    specs = [tf.TensorSpec((None, config.noise_size), tf.float32, GENERATE.input)]
    if config.classes:
        specs.append(tf.TensorSpec((None,), tf.int32, LABEL))
    return archive((GENERATE.name, generate, specs), describe_endpoint(card))


def discriminator_archive(served: Served, card: str, calibration: Calibration) -> Archive:
    """Return the discriminator with the signatures of the contract."""
    reference = tf.constant(calibration.reference)

    def score(cards: tf.Tensor) -> dict[str, tf.Tensor]:
        logit = served.judge(cards)
        below = tf.cast(tf.searchsorted(reference, logit), tf.float32)
        probability = tf.sigmoid(calibration.slope * logit + calibration.intercept)
        percentile = 100.0 * below / float(len(calibration.reference))
        return dict(zip(SCORE.outputs, (logit, probability, percentile), strict=True))

    specs = [tf.TensorSpec((None, *served.display, 3), tf.uint8, SCORE.input)]
    return archive((SCORE.name, score, specs), describe_endpoint(card))


Endpoint = tuple[str, Callable[..., dict[str, tf.Tensor]], list[tf.TensorSpec]]


def describe_endpoint(card: str) -> Endpoint:
    """Return the signature that answers each row with the model card."""

    def describe(index: tf.Tensor) -> dict[str, tf.Tensor]:
        return {DESCRIBE.outputs[0]: tf.fill(tf.shape(index), card)}

    return DESCRIBE.name, describe, [tf.TensorSpec((None,), tf.int32, DESCRIBE.input)]


def archive(*endpoints: Endpoint) -> Archive:
    """Collect endpoints, each with its variables: track() would store them a second time (keras#23553)."""
    made = keras.export.ExportArchive()
    for name, function, specs in endpoints:
        made.add_endpoint(name, function, input_signature=specs)
    return made


def write_model(
    store: Path, model: str, content: Archive, card: str, trained: keras.Model | None = None
) -> Path:
    """Write one model completely under a name that no server takes for a version; return its folder.

    What it was trained as is kept beside it, if given.
    """
    folder = store / model / f".staging-{uuid.uuid4()}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir()
    try:
        content.write_out(folder, verbose=False)
        extra = folder / "assets.extra"
        extra.mkdir()
        (extra / "model_card.json").write_text(card)
        if trained is not None:
            keep_trained(trained, folder)
        write_warm_up(extra / "tf_serving_warmup_requests", folder)
        (folder / "batching_params.pbtxt").write_text(BATCHING + "\n")
        sync_tree(folder)
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
        for name in (GENERATE.name, SCORE.name, DESCRIBE.name):
            if name not in loaded.signatures:
                continue
            signature = loaded.signatures[name]
            specs = signature.structured_input_signature[1]
            for rows in contract.BATCH_SIZES:
                inputs = {name: tf.zeros([rows, *spec.shape[1:]], spec.dtype) for name, spec in specs.items()}
                signature(**inputs)
                request = predict_pb2.PredictRequest(
                    model_spec=model_pb2.ModelSpec(name=saved_model.parent.name, signature_name=name),
                    inputs={name: tf.make_tensor_proto(zeros) for name, zeros in inputs.items()},
                )
                log = prediction_log_pb2.PredictionLog(
                    predict_log=prediction_log_pb2.PredictLog(request=request)
                )
                records.write(log.SerializeToString())
