import json
import math
import shutil

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from serving import contract
from serving.contract import BATCH_SIZES, DESCRIBE_INPUT, DESCRIBE_NAME, DESCRIBE_OUTPUT, GENERATE, SCORE
from training import dataset
from training.export import BadStore, export, next_version, publish
from training.models import Networks, to_pixels, to_unit
from training.prepare import prepare
from training.run import BadRun, Run


@pytest.fixture(scope="module")
def networks(tiny_run):
    run = Run.open(tiny_run.run)
    networks = Networks.build(run.config)
    run.restore(networks)
    return networks


@pytest.fixture(scope="module")
def models(tiny_run):
    return {
        model: tf.saved_model.load(str(tiny_run.store / model / str(tiny_run.version)))
        for model in contract.MODELS
    }


NOISE = tf.random.stateless_normal((16, 16), [4, 2])


def test_the_exported_generator_draws_what_the_averaged_network_draws(models, networks):
    cards = models["generator"].signatures[GENERATE.name](noise=NOISE)["cards"]
    assert (cards.dtype, cards.shape) == (tf.uint8, (16, 56, 40, 3))
    expected = to_pixels(networks.average(NOISE, training=False))
    assert np.abs(cards.numpy().astype(int) - expected.numpy().astype(int)).max() <= 1


def test_the_exported_discriminator_gives_the_networks_logits_and_their_meaning(tiny_run, models, networks):
    data = dataset.load(tiny_run.data)
    cards = data.cards[:16]
    scores = models["discriminator"].signatures[SCORE.name](cards=tf.constant(cards))
    assert scores.keys() == set(SCORE.outputs)
    logit = networks.discriminator(to_unit(cards), training=False)
    np.testing.assert_allclose(scores["logit"], logit, atol=1e-4)
    held_out = networks.discriminator(to_unit(data.cards[data.holdout]), training=False).numpy()
    # A held-out card may stand exactly at its own value: give or take one rank.
    rank = 100 * (held_out[None] < scores["logit"].numpy()[:, None]).mean(axis=1)
    np.testing.assert_allclose(scores["percentile"], rank, atol=100 / len(held_out) + 1e-3)
    assert np.all((scores["probability"].numpy() >= 0) & (scores["probability"].numpy() <= 1))


def test_a_row_alone_is_the_row_in_a_batch(models):
    generate, score = (
        models["generator"].signatures[GENERATE.name],
        models["discriminator"].signatures[SCORE.name],
    )
    together = generate(noise=NOISE)["cards"]
    logits = score(cards=together)["logit"]
    for row in range(16):
        alone = generate(noise=NOISE[row : row + 1])["cards"][0]
        assert np.abs(alone.numpy().astype(int) - together[row].numpy().astype(int)).max() <= 1
        np.testing.assert_allclose(score(cards=together[row : row + 1])["logit"][0], logits[row], atol=1e-4)


def test_both_models_describe_themselves_row_by_row(tiny_run, models):
    for model in models.values():
        answer = model.signatures[DESCRIBE_NAME](**{DESCRIBE_INPUT: tf.range(3)})[DESCRIBE_OUTPUT]
        cards = [json.loads(card) for card in answer.numpy()]
        assert cards[0] == cards[1] == cards[2]
        assert cards[0]["version"] == tiny_run.version
        assert (cards[0]["noise_size"], cards[0]["height"], cards[0]["width"]) == (16, 56, 40)


def test_weights_are_stored_once(tiny_run, networks):
    variables = tiny_run.store / "generator" / str(tiny_run.version) / "variables" / "variables"
    stored = sum(
        math.prod(shape)
        for name, shape in tf.train.list_variables(str(variables))
        if "OBJECT_GRAPH" not in name
    )
    assert stored == networks.average.count_params()


@pytest.mark.parametrize("signature", [GENERATE, SCORE])
def test_warm_up_covers_each_signature_at_each_batch_size(tiny_run, models, signature):
    path = (
        tiny_run.store
        / signature.model
        / str(tiny_run.version)
        / "assets.extra"
        / "tf_serving_warmup_requests"
    )
    seen = set()
    for record in tf.data.TFRecordDataset(str(path)):
        request = prediction_log_pb2.PredictionLog.FromString(record.numpy()).predict_log.request
        inputs = {name: tf.constant(tf.make_ndarray(value)) for name, value in request.inputs.items()}
        models[signature.model].signatures[request.model_spec.signature_name](**inputs)
        seen.add(
            (request.model_spec.name, request.model_spec.signature_name, len(next(iter(inputs.values()))))
        )
    assert seen == {
        (signature.model, name, size) for name in (signature.name, DESCRIBE_NAME) for size in BATCH_SIZES
    }


def test_the_store_holds_whole_versions_and_nothing_else(tiny_run):
    for model in contract.MODELS:
        (version,) = (tiny_run.store / model).iterdir()
        assert version.name == str(tiny_run.version)
        assert (version / "batching_params.pbtxt").read_text().endswith("allowed_batch_sizes: 16\n")


def test_each_export_is_a_newer_version(tiny_run, tmp_path):
    shutil.copytree(tiny_run.store, tmp_path / "store")
    assert export(tiny_run.run, tmp_path / "store") > tiny_run.version
    (tmp_path / "store" / "generator" / "20261123-old").mkdir()
    (tmp_path / "store" / "generator" / "99999999999999").mkdir()
    assert next_version(tmp_path / "store") == 100000000000000


def test_a_failed_export_leaves_the_store_as_it_was(tiny_run, tmp_path):
    store = tmp_path / "store"
    (store / "generator").mkdir(parents=True)
    (store / "discriminator").write_text("a file where a folder should be")
    with pytest.raises(OSError, match="discriminator"):
        export(tiny_run.run, store)
    assert list((store / "generator").iterdir()) == []


def test_of_two_exports_that_chose_one_version_the_later_leaves_the_store_as_it_was(tmp_path):
    folders = [tmp_path / model / ".staging-1" for model in contract.MODELS]
    for folder in folders:
        folder.mkdir(parents=True)
    taken = tmp_path / contract.MODELS[1] / "7" / "saved_model.pb"
    taken.parent.mkdir()
    taken.touch()
    with pytest.raises(BadStore, match="export again"):
        publish(folders, 7)
    assert not (tmp_path / contract.MODELS[0] / "7").exists()
    assert taken.exists()


def test_a_run_without_a_checkpoint_says_so(tiny_run, tmp_path):
    shutil.copytree(tiny_run.run, tmp_path / "run", ignore=shutil.ignore_patterns("ckpt*", "checkpoint"))
    with pytest.raises(BadRun, match="no checkpoint"):
        export(tmp_path / "run", tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_a_dataset_that_was_moved_can_be_named(tiny_run, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(tiny_run.run, run)
    source = {**json.loads((run / "data.json").read_text()), "folder": str(tmp_path / "gone")}
    (run / "data.json").write_text(json.dumps(source))
    with pytest.raises(BadRun, match="--data"):
        export(run, tmp_path / "store")
    assert export(run, tmp_path / "store", tiny_run.data) > 0


def test_export_is_not_calibrated_on_other_cards(tiny_run, tmp_path):
    prepare(tiny_run.cards, tmp_path / "data", 64, 64)
    with pytest.raises(BadRun, match="other cards"):
        export(tiny_run.run, tmp_path / "store", tmp_path / "data")
