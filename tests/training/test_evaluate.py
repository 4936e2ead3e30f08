import json
import shutil

import h5py
import keras
import numpy as np
import pytest
from keras.src.legacy.saving.legacy_h5_format import save_weights_to_hdf5_group
from PIL import Image

from training import dataset
from training.evaluate import (
    BadEvaluation,
    Evaluation,
    Pool,
    Sample,
    against_inception,
    draw_cards,
    evaluate,
    fake_sample,
    inception_of,
    neighbours,
)
from training.features import features
from training.inception import WEIGHTS, BadWeights, inception
from training.judge import Judge
from training.models import Networks
from training.presets import configure
from training.run import BadRun, Run, Source


@pytest.fixture(scope="module")
def run(tiny_run, tmp_path_factory):
    """A copy of the run, which evaluating writes into."""
    return shutil.copytree(tiny_run.run, tmp_path_factory.mktemp("evaluate") / "run")


@pytest.fixture(scope="module")
def evaluation(tiny_run, run):
    (run / "neighbours.png").write_bytes(b"before")
    (run / "another name").hardlink_to(run / "neighbours.png")
    return evaluate(run, tiny_run.data, count=100, seeds=2)


@pytest.fixture(scope="module")
def cards(tiny_run):
    return dataset.load(tiny_run.data)


def test_each_metric_has_its_spread_and_a_floor_that_real_cards_win(evaluation):
    measures = evaluation.sections["training"].measures
    assert {"kid", "fid", "density", "coverage", "ms_ssim_excess"} < measures.keys()
    assert {"sliced_wasserstein_40x56", "sliced_wasserstein_average"} < measures.keys()
    # A generator of six steps draws grey.
    assert measures["kid"].real.mean < 50 < measures["kid"].generated.mean
    assert measures["coverage"].generated.mean < measures["coverage"].real.mean
    assert measures["ms_ssim_excess"].generated.mean > measures["ms_ssim_excess"].real.mean
    assert all(measure.generated.deviation is not None for measure in measures.values())


def test_what_few_cards_do_not_allow_is_left_out_with_the_reason(evaluation):
    # 48 cards, 4 of them held out: halves of 22, no copy rate, nothing against the hold-out.
    assert evaluation.sections.keys() == {"training"}
    assert evaluation.sections["training"].cards == 22
    notes = " ".join(evaluation.notes)
    assert "44 training cards allow 22 a side, not 100" in notes
    assert "Left out: held-out cards. The dataset holds out 4" in notes
    assert "Left out: copy rate" in notes
    assert "Left out: KID and FID by Inception" in notes


def test_the_table_and_the_file_say_what_was_measured(evaluation, run):
    kid = evaluation.sections["training"].measures["kid"]
    assert f"{kid.generated.mean:.1f} ± {kid.generated.deviation:.1f}" in evaluation.table()
    written = json.loads((run / "evaluation.json").read_text())
    assert written["sections"]["training"]["measures"]["kid"]["generated"]["mean"] == kid.generated.mean
    assert written["notes"] == evaluation.notes


def test_one_seed_gives_the_same_numbers_again_and_no_spread(tiny_run, run):
    once, again = (evaluate(run, tiny_run.data, count=6, seeds=1) for _ in range(2))
    assert once.sections == again.sections
    assert once.sections["training"].measures["fid"].generated.deviation is None
    assert once.table().startswith("After 48 images; one draw.\n")
    assert "the nearer to that, the better" in once.table()


def test_with_cards_enough_held_out_cards_and_copies_are_measured(tiny_run, cards, run, tmp_path):
    # The same dataset with more of it held out: the fingerprint is that of the run's data.
    data = shutil.copytree(tiny_run.data, tmp_path / "data")
    manifest = json.loads((data / dataset.MANIFEST).read_text())
    for row in manifest["cards"][:24]:
        row["holdout"] = True
    (data / dataset.MANIFEST).write_text(json.dumps(manifest))
    result = evaluate(run, data, count=8, seeds=1)
    assert result.sections.keys() == {"training", "held_out", "copies"}
    assert result.sections["held_out"].cards == 8
    assert 0 <= result.sections["copies"].measures["copy_rate"].generated.mean <= 1
    assert (data / "features-effnet_lite0.npz").exists()


@pytest.mark.parametrize("numbers", [{"count": 1}, {"count": 0}, {"seeds": 0}])
def test_too_few_to_compare_is_refused_before_any_work(tmp_path, numbers):
    with pytest.raises(BadEvaluation, match="too few: it takes 6 cards and one seed"):
        evaluate(tmp_path / "nowhere", **numbers)


def test_a_run_without_checkpoint_is_told(tiny_run, tmp_path):
    config = configure("smoke", 56, 40)
    Run.create(tmp_path / "new", config, Source.of(tiny_run.data, dataset.load(tiny_run.data)))
    with pytest.raises(BadRun, match="no checkpoint yet"):
        evaluate(tmp_path / "new")


def test_the_picture_shows_each_fake_with_its_nearest_training_cards_at_its_right(tiny_run, cards):
    train = Pool.of(cards, cards.train, tiny_run.data)
    # Fakes that are training cards but for one dark corner.
    fakes = cards.cards[cards.train[[3, 7]]].copy()
    fakes[:, :4, :4] = 0
    picture = neighbours(Sample(fakes, features(fakes)), train)
    scale, gap = 3, 12  # 56 pixels of height become 168
    width = 40 * scale
    found = []
    for top, left in np.ndindex(2, 2):
        y, x = gap + top * (56 * scale + gap), gap + left * (3 * width + gap)
        strip = picture[y : y + 56 * scale : scale, x : x + 3 * width : scale]
        if strip.shape != (56, 120, 3) or (strip == 255).all():
            continue
        found += [i for i, card in enumerate(cards.cards[cards.train]) if (strip[:, 40:80] == card).all()]
        assert any((strip[:, :40] == fake).all() for fake in fakes)
    assert sorted(found) == [3, 7]


def test_the_picture_is_written_whole_in_the_place_of_the_one_before(evaluation, run):
    with Image.open(run / "neighbours.png") as picture:
        assert picture.height > 168
    assert (run / "another name").read_bytes() == b"before"  # not written over, which may end half-way


def test_kinds_are_drawn_as_often_as_in_training():
    config = configure("smoke", 56, 40, classes=("dark", "bright"))
    # A generator that shows its label: -1 is black, 1 is white.
    noise, label = keras.Input((16,)), keras.Input((), dtype="int32")
    shown = keras.layers.Rescaling(2.0, -1.0)(keras.layers.Reshape((1, 1, 1))(label))
    generator = keras.Model([noise, label], shown)
    cards = draw_cards(config, generator, np.array([1, 1, 1, 0], np.int32), 400, seed=0)
    assert set(np.unique(cards)) == {0, 255}
    assert (cards == 255).mean() == pytest.approx(0.75, abs=0.08)


def test_other_seeds_draw_other_fakes_of_the_averaged_generator(tiny_run, cards):
    run = Run.open(tiny_run.run)
    networks = Networks.build(run.config)
    run.restore(networks)
    first, again, other = (
        fake_sample(run.config, networks.average, cards, 3, seed).cards for seed in (0, 0, 1)
    )
    assert (first.shape, first.dtype) == ((3, 56, 40, 3), np.uint8)
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_the_judge_tells_real_cards_from_noise(cards):
    judge = Judge(cards, count=30)
    assert judge.count == 30
    rest = cards.cards[cards.train[:30]]
    noise = np.random.default_rng(0).integers(0, 256, rest.shape).astype(np.uint8)
    good, bad = judge(rest), judge(noise)
    assert good.keys() == {"kid", "fid", "density", "coverage"}
    assert good["kid"] < bad["kid"]
    assert good["fid"] < bad["fid"]
    assert good["coverage"] > bad["coverage"]


def test_the_judge_compares_as_many_as_it_holds_and_refuses_a_handful(cards):
    judge = Judge(cards, count=20)
    fakes = cards.cards[cards.train]
    assert judge(fakes) == judge(fakes[:20])
    with pytest.raises(ValueError, match="5 cards a side"):
        judge(fakes[:5])


def test_weights_that_are_none_are_told_before_any_work(tiny_run, run, tmp_path, capsys):
    with pytest.raises(BadEvaluation, match="no file"):
        evaluate(run, tiny_run.data, 8, 1, tmp_path / "nowhere.h5")
    (tmp_path / "other.weights.h5").write_bytes(b"no weights")
    _, before = (keras.layers.Conv2D(1, 1).name for _ in range(2))  # the first ever has no number
    with pytest.raises(BadWeights, match="does not hold InceptionV3's weights"):
        evaluate(run, tiny_run.data, 8, 1, tmp_path / "other.weights.h5")
    assert "fakes" not in capsys.readouterr().err
    built = int(keras.layers.Conv2D(1, 1).name.rpartition("_")[2]) - int(before.rpartition("_")[2])
    assert built == 1  # the one that asks: no network was made for a file that is none


def test_weights_of_another_network_are_told(tmp_path):
    with h5py.File(tmp_path / WEIGHTS, "w") as file:
        file.attrs["layer_names"] = [b"conv2d"]
    with pytest.raises(BadWeights, match="does not hold InceptionV3's weights"):
        inception(tmp_path / WEIGHTS)


@pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")  # Keras 3.15 with NumPy 2 when it saves
def test_inceptions_weights_are_used_where_they_are(tiny_run, cards, tmp_path):
    # Drawn at random, in the format of Keras' published file: the numbers mean nothing, and go the whole way.
    network = keras.applications.InceptionV3(include_top=False, weights=None)  # pyright: ignore[reportArgumentType]
    with h5py.File(tmp_path / WEIGHTS, "w") as file:
        save_weights_to_hdf5_group(file, network)
    train = Pool.of(cards, cards.train, tiny_run.data)
    result = Evaluation(images=48, seeds=1)
    against_inception(result, train, train.sample(np.arange(6)), inception_of(tmp_path / WEIGHTS))
    measures = result.sections["inception"].measures
    assert measures.keys() == {"kid_keras", "fid_keras"}
    assert all(measure.generated.deviation is None for measure in measures.values())  # there is one draw
    assert "not FID's own" in result.table()
