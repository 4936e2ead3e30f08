import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from serving import contract
from serving.contract import BATCH_SIZES, DESCRIBE, GENERATE, SCORE
from tests.training.small_disk import small_files
from training import dataset
from training.__main__ import export as export_command
from training.dataset import MANIFEST, BadDataset
from training.export import BadStore, export, export_networks, fake_labels, next_version, publish
from training.models import Networks, to_pixels, to_unit
from training.prepare import prepare
from training.presets import configure
from training.run import BadRun, Run
from training.subpixel import drawing_form
from training.trouble import Trouble


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
        answer = model.signatures[DESCRIBE.name](index=tf.range(3))["card"]
        cards = [json.loads(card) for card in answer.numpy()]
        assert cards[0] == cards[1] == cards[2]
        assert cards[0]["version"] == tiny_run.version
        assert (cards[0]["noise_size"], cards[0]["height"], cards[0]["width"]) == (16, 56, 40)
        assert cards[0]["classes"] == []


def stored_weights(version: Path) -> int:
    """Count the numbers in a SavedModel's variables."""
    listed = tf.train.list_variables(str(version / "variables" / "variables"))
    return sum(math.prod(shape) for name, shape in listed if "OBJECT_GRAPH" not in name)


def test_weights_are_stored_once(tiny_run, networks, kinds):
    version = tiny_run.store / "generator" / str(tiny_run.version)
    assert stored_weights(version) == drawing_form(networks.average).count_params()
    version = kinds.store / "discriminator" / str(kinds.version)
    assert stored_weights(version) == kinds.networks.discriminator.count_params()


@pytest.mark.parametrize("signature", [GENERATE, SCORE])
@pytest.mark.parametrize("exported", ["tiny_run", "kinds"])
def test_warm_up_covers_each_signature_at_each_batch_size(exported, signature, request):
    pair = request.getfixturevalue(exported)
    version = pair.store / signature.model / str(pair.version)
    path = version / "assets.extra" / "tf_serving_warmup_requests"
    model = tf.saved_model.load(str(version))
    seen = set()
    for record in tf.data.TFRecordDataset(str(path)):
        request = prediction_log_pb2.PredictionLog.FromString(record.numpy()).predict_log.request
        inputs = {name: tf.constant(tf.make_ndarray(value)) for name, value in request.inputs.items()}
        model.signatures[request.model_spec.signature_name](**inputs)
        seen.add(
            (request.model_spec.name, request.model_spec.signature_name, len(next(iter(inputs.values()))))
        )
    assert seen == {
        (signature.model, name, size) for name in (signature.name, DESCRIBE.name) for size in BATCH_SIZES
    }


def test_a_row_keeps_its_kind_in_any_batch(kinds):
    model = tf.saved_model.load(str(kinds.store / "generator" / str(kinds.version)))
    generate = model.signatures[GENERATE.name]
    labels = tf.constant([0, 1] * 8)
    together = generate(noise=NOISE, label=labels)["cards"].numpy().astype(int)
    reversed_ = generate(noise=NOISE[::-1], label=labels[::-1])["cards"].numpy().astype(int)
    assert np.abs(together - reversed_[::-1]).max() <= 1
    for row in range(0, 16, 5):
        alone = generate(noise=NOISE[row : row + 1], label=labels[row : row + 1])["cards"].numpy()
        assert np.abs(alone[0].astype(int) - together[row]).max() <= 1


def test_fakes_are_of_the_kinds_that_training_saw_as_often(tiny_run):
    cards = dataset.load(tiny_run.data)
    labels = np.ones(len(cards.cards), np.int32)
    labels[cards.train[: len(cards.train) // 4]] = 0
    labels[cards.holdout] = 2
    config = configure("smoke", 56, 40, classes=("a", "b", "c"))
    found = fake_labels(config, replace(cards, labels=labels, classes=config.classes))
    np.testing.assert_allclose(np.bincount(found, minlength=3) / len(found), [0.25, 0.75, 0], atol=0.05)


def test_squashed_cards_are_served_at_their_own_aspect(tiny_run, tmp_path):
    """Networks of 32x32 from cards of 5:7 draw 32x44, and score takes what generate draws."""
    cards = prepare(tiny_run.cards, tmp_path / "data", 32, 32)
    config = configure("smoke", 32, 32)
    version = export_networks(config, Networks.build(config), 0, cards, tmp_path / "store")
    generator, discriminator = (
        tf.saved_model.load(str(tmp_path / "store" / model / str(version))) for model in contract.MODELS
    )
    drawn = generator.signatures[GENERATE.name](noise=NOISE)["cards"]
    assert drawn.shape == (16, 44, 32, 3)
    assert discriminator.signatures[SCORE.name](cards=drawn)["logit"].shape == (16,)
    card = json.loads(discriminator.signatures[DESCRIBE.name](index=[0])["card"].numpy()[0])
    assert (card["height"], card["width"], card["native_height"], card["native_width"]) == (44, 32, 32, 32)


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
    with pytest.raises(BadStore, match=r"discriminator: .*Something else lies in the way"):
        export(tiny_run.run, store)
    assert list((store / "generator").iterdir()) == []


@pytest.mark.parametrize("most_bytes", [4_000, 30_000, 120_000])
def test_a_disk_that_takes_no_model_is_told_and_leaves_the_store_as_it_was(tiny_run, tmp_path, most_bytes):
    """The first refuses the weights, which TensorFlow writes, the others larger files of either model."""
    store = tmp_path / "store"
    told = f"^The models could not be written to {store}.*File too large. Make room on that disk"
    with small_files(most_bytes), pytest.raises(Trouble, match=told):
        export(tiny_run.run, store)
    assert [path for path in store.rglob("*") if path.is_file()] == []
    assert [path.name for path in store.glob("*/*")] == []


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
    shutil.copytree(tiny_run.run, tmp_path / "run", ignore=shutil.ignore_patterns("checkpoints"))
    with pytest.raises(BadRun, match="no checkpoint"):
        export(tmp_path / "run", tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_a_dataset_that_was_moved_can_be_named_and_what_comes_next_pasted(tiny_run, tmp_path, capsys):
    run = tmp_path / "run"
    shutil.copytree(tiny_run.run, run)
    source = {**json.loads((run / "data.json").read_text()), "folder": str(tmp_path / "gone")}
    (run / "data.json").write_text(json.dumps(source))
    with pytest.raises(BadRun, match="--data"):
        export(run, tmp_path / "store")
    export_command(run, tmp_path / "my store", tiny_run.data)
    assert f"HOLOFOIL_MODELS='{tmp_path}/my store' holofoil-gateway" in capsys.readouterr().out


def test_export_without_held_out_cards_is_refused(tiny_run, tmp_path):
    shutil.copytree(tiny_run.data, tmp_path / "data")
    manifest = json.loads((tmp_path / "data" / MANIFEST).read_text())
    manifest["cards"] = [card | {"holdout": False} for card in manifest["cards"]]
    (tmp_path / "data" / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(BadDataset, match="holds out no card"):
        export(tiny_run.run, tmp_path / "store", tmp_path / "data")
    assert not (tmp_path / "store").exists()


def test_export_is_not_calibrated_on_other_cards(tiny_run, tmp_path):
    prepare(tiny_run.cards, tmp_path / "data", 64, 64)
    with pytest.raises(BadRun, match="other cards"):
        export(tiny_run.run, tmp_path / "store", tmp_path / "data")
