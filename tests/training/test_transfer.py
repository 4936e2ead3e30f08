import shutil
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from training import dataset, train
from training.checkpoints import Progress
from training.config import BadConfig
from training.export import export
from training.models import Networks
from training.presets import configure
from training.run import Run, Source
from training.step import averaging_rate
from training.transfer import BadOrigin, agreeing, keep_trained, names_of, read, weights_of


@pytest.fixture(scope="module")
def trained(tiny_run):
    """The networks of a run that was trained and exported."""
    run = Run.open(tiny_run.run)
    networks = Networks.build(run.config)
    run.restore(networks)
    return networks


def equal(network, weights):
    return all(np.array_equal(a, b) for a, b in zip(network.get_weights(), weights, strict=True))


def begun(folder, data, preset="smoke", **changes):
    """A run with a checkpoint of the weights that it starts from, and its networks."""
    config = configure(preset, 56, 40, **changes)
    run = Run.create(folder, config, Source.of(data, dataset.load(data)))
    networks = Networks.build(config)
    run.save_checkpoint(Progress.at_start(config), dict(networks.parts()))
    return run, networks


def test_a_run_is_started_from_the_weights_of_a_run(tiny_run, trained, tmp_path):
    run = train.start(
        tiny_run.data, tmp_path / "run", "smoke", origin=tiny_run.run, images=8, learning_rate=1e-30
    )
    networks = Networks.build(run.config)
    run.restore(networks)
    for network, origin in (
        (networks.generator, trained.generator),
        (networks.discriminator, trained.discriminator),
    ):
        for weight, theirs in zip(network.trainable_variables, origin.trainable_variables, strict=True):
            np.testing.assert_allclose(weight, theirs, atol=1e-7)
    assert run.checkpoints.steps() == [1, 0]  # what it started from is kept, for a run that is killed early


def test_the_average_of_trained_weights_outlasts_the_first_steps_and_not_the_run():
    config = configure("smoke", 56, 40, average_ramp=False, batch=8, images=8_000, average_half_life=10_000)
    kept = [share_kept(config, steps) for steps in (10, 1_000)]
    assert kept == pytest.approx([0.5 ** (80 / 400), 0.5**20], rel=1e-3)
    assert share_kept(replace(config, average_ramp=True), 10) < 1e-6  # of weights that were drawn at random


def share_kept(config, steps):
    """Return how much of its average at the start is in a run's average after some steps."""
    return float(np.prod([1 - averaging_rate(config, tf.constant(step)) for step in range(steps)]))


def test_only_a_run_whose_generator_was_trained_whole_averages_without_a_ramp(tiny_run, tmp_path):
    origins = {"new": None, "run": tiny_run.run, "store": tiny_run.store}
    ramps = {
        name: train.start(
            tiny_run.data, tmp_path / name, "smoke", origin=origin, images=8
        ).config.average_ramp
        for name, origin in origins.items()
    }
    assert ramps == {"new": True, "run": False, "store": False}
    assert not weights_of(tiny_run.run, configure("smoke", 112, 80)).whole


def test_the_best_of_a_run_and_the_newest_of_a_store_are_the_start(tiny_run, trained, tmp_path):
    config = configure("smoke", 56, 40)
    best, newer = Networks.build(config), Networks.build(config)
    for weight in newer.average.trainable_weights:  # networks of one seed begin alike
        weight.assign(2 * weight + 1)
    run = Run.create(tmp_path / "run", config, Source(str(tmp_path), ""))
    for step, networks in ((1, best), (2, newer)):
        progress = replace(Progress.at_start(config), step=step, best_step=1)
        run.save_checkpoint(progress, dict(networks.parts()))
    assert equal(best.average, weights_of(run.folder, config).average)
    store = shutil.copytree(tiny_run.store, tmp_path / "store")
    shutil.copytree(store / "generator" / str(tiny_run.version), store / "generator" / "9")
    (store / "discriminator" / "9").mkdir()  # nothing could be read from it
    for model in ("generator", "discriminator"):
        (store / model / "old").mkdir()
    keep_trained(newer.average, store / "generator" / "9")
    assert equal(trained.average, weights_of(store, config).average)


def test_a_store_gives_its_averaged_generator_to_both_and_its_discriminator(tiny_run, trained, capsys):
    weights = weights_of(tiny_run.store, configure("smoke", 56, 40))
    assert equal(trained.average, weights.average)
    assert equal(trained.average, weights.generator)
    assert equal(trained.discriminator, weights.discriminator)
    assert "averaged generator and no other" in capsys.readouterr().out


def test_a_store_of_a_spectrally_normalised_run_is_a_start(tiny_run, tmp_path):
    changes = {"loss": "hinge", "spectral_norm": True, "r1": 0.0}
    run = train.start(tiny_run.data, tmp_path / "run", "smoke", images=8, **changes)
    export(run.folder, tmp_path / "store")
    weights = weights_of(tmp_path / "store", configure("smoke", 56, 40, **changes))
    trained = Networks.build(run.config)
    run.restore(trained)
    given = Networks.build(run.config)
    weights.give(given)
    for mine, theirs in zip(
        given.discriminator.trainable_variables, trained.discriminator.trainable_variables, strict=True
    ):
        np.testing.assert_allclose(mine, theirs, atol=1e-6)


def test_weights_are_read_from_the_models_where_none_lie_beside_them_and_damaged_ones_are_refused(
    tiny_run, trained, tmp_path
):
    store = shutil.copytree(tiny_run.store, tmp_path / "store")
    (beside,) = store.glob("generator/*/assets.extra/trained_weights.npz")
    network = trained.discriminator  # exported in the form that learns, as generators once were
    (version,) = (store / "discriminator").iterdir()
    assert equal(network, read(version, "score", network))
    beside.write_bytes(beside.read_bytes()[:1000])
    with pytest.raises(BadOrigin, match="cannot be read"):
        weights_of(store, configure("smoke", 56, 40))


def test_a_generator_that_has_no_other_form_is_stored_once_and_is_a_start(tiny_run, tmp_path):
    changes = {"networks": "residual", "channels": (12, 8, 8, 8)}
    run, networks = begun(tmp_path / "run", tiny_run.data, **changes)
    export(run.folder, tmp_path / "store")
    assert not list((tmp_path / "store").rglob("trained_weights.npz"))
    weights = weights_of(tmp_path / "store", run.config)
    assert equal(networks.average, weights.average)


def test_networks_grow_to_cards_twice_as_large(tiny_run, trained, capsys):
    config = configure("smoke", 112, 80)
    grown = weights_of(tiny_run.run, config)
    fresh = Networks.build(config)
    theirs, ours = trained.generator.get_weights(), fresh.generator.get_weights()
    assert all(np.array_equal(a, b) for a, b in zip(grown.generator[:4], theirs, strict=False))
    assert np.array_equal(grown.average[0], trained.average.get_weights()[0])
    assert not np.array_equal(grown.average[0], grown.generator[0])
    assert np.array_equal(grown.generator[-1], ours[-1])
    assert np.array_equal(grown.discriminator[-2], trained.discriminator.get_weights()[-2])
    assert np.array_equal(grown.discriminator[0], fresh.discriminator.get_weights()[0])
    grown.give(fresh)
    assert "whose cards are half as large" in capsys.readouterr().out


def test_weights_agree_up_to_the_first_of_another_shape():
    theirs = [np.zeros(size, np.float32) for size in (2, 3, 4)]
    ours = [np.ones(size, np.float32) for size in (2, 3, 5)]
    taken, share = agreeing(theirs, ours)
    assert [weight.tolist() for weight in taken] == [[0] * 2, [0] * 3, [1] * 5]
    assert share == 0.5


def test_networks_do_not_grow_where_nothing_fits(tiny_run):
    with pytest.raises(BadOrigin, match=r"What grows whole from 40x56: tiny, base\. Train"):
        weights_of(tiny_run.run, configure("smoke", 112, 80, noise_size=20))


def test_networks_that_grow_in_part_are_told_with_those_that_grow_whole(tiny_run, tmp_path, capsys):
    run, _ = begun(tmp_path / "run", tiny_run.data, "nano")
    weights_of(run.folder, configure("nano", 112, 80))
    told = capsys.readouterr().out
    assert "other widths than nano has here, and are learnt anew. What grows whole from 40x56: tiny" in told


def test_names_do_not_depend_on_what_was_built_before():
    config = configure("smoke", 56, 40, classes=("a", "b"))
    first, second = Networks.build(config), Networks.build(config)
    for one, other in zip(first.parts().values(), second.parts().values(), strict=True):
        assert list(names_of(one.weights)) == list(names_of(other.weights))
        assert len(names_of(one.weights)) == len(one.weights)


def test_layers_keep_their_order_beyond_the_ninth():
    layers = [keras.layers.Dense(size, name=f"dense_{number}") for number, size in ((9, 2), (10, 3))]
    named = names_of(keras.Sequential([keras.Input((1,)), *layers]).weights)
    shapes = {name: weight.shape for name, weight in named.items() if name.endswith("kernel")}
    assert shapes == {"dense 1 kernel": (1, 2), "dense 2 kernel": (2, 3)}


@pytest.mark.parametrize("origin", ["run", "store"])
@pytest.mark.parametrize(
    ("size", "changes"),
    [((56, 40), {"channels": (16, 12, 10)}), ((64, 48), {}), ((56, 40), {"classes": ("a", "b")})],
)
def test_weights_of_another_shape_are_refused_with_the_way_out(tiny_run, origin, size, changes):
    with pytest.raises(BadOrigin, match="Take the same --preset and --labels"):
        weights_of(getattr(tiny_run, origin), configure("smoke", *size, **changes))


def test_weights_that_this_run_has_no_place_for_are_refused(tiny_run, tmp_path):
    run, _ = begun(tmp_path / "run", tiny_run.data, loss="hinge", spectral_norm=True, r1=0.0)
    with pytest.raises(BadOrigin, match=r"here it is missing\. Take the same --preset"):
        weights_of(run.folder, configure("smoke", 56, 40, loss="hinge", r1=0.0))


def test_a_start_from_nothing_is_refused_and_leaves_no_run_behind(tiny_run, tmp_path):
    with pytest.raises(BadOrigin, match="neither a run nor a model store"):
        train.start(tiny_run.data, tmp_path / "run", "smoke", origin=tmp_path)
    assert not (tmp_path / "run").exists()


def test_frozen_convolutions_stay_and_the_rest_is_learnt(tiny_run, trained, tmp_path):
    run = train.start(tiny_run.data, tmp_path / "run", "smoke", origin=tiny_run.run, frozen=2, images=16)
    networks = Networks.build(run.config)
    run.restore(networks)
    kept = [
        np.array_equal(now, then)
        for now, then in zip(
            networks.discriminator.get_weights(), trained.discriminator.get_weights(), strict=True
        )
    ]
    assert kept == [True] * 4 + [False] * (len(kept) - 4)  # kernel and bias of two


def test_a_discriminator_that_is_frozen_throughout_is_refused(tiny_run, tmp_path):
    with pytest.raises(BadConfig, match="all of this discriminator's 3 convolutions"):
        train.start(tiny_run.data, tmp_path / "run", "smoke", origin=tiny_run.run, frozen=3)
    assert not (tmp_path / "run").exists()


def test_freezing_what_was_never_trained_is_refused(tiny_run, tmp_path):
    with pytest.raises(BadConfig, match="--from"):
        train.start(tiny_run.data, tmp_path / "run", "smoke", frozen=1)
    assert not (tmp_path / "run").exists()


def test_a_negative_number_of_convolutions_is_not_frozen(tiny_run, tmp_path):
    with pytest.raises(BadConfig, match="freeze is -1"):
        train.start(tiny_run.data, tmp_path / "run", "smoke", origin=tiny_run.run, frozen=-1)


def test_a_rehearsal_refuses_what_a_start_would(tiny_run, tmp_path):
    assert "to go" in train.rehearse(tiny_run.data, tmp_path / "run", "smoke", origin=tiny_run.run, frozen=1)
    with pytest.raises(BadOrigin):
        train.rehearse(tiny_run.data, tmp_path / "run", "smoke", origin=tmp_path)
    with pytest.raises(BadConfig, match="--from"):
        train.rehearse(tiny_run.data, tmp_path / "run", "smoke", frozen=1)


def test_kinds_of_other_names_are_told(tiny_run, tmp_path, capsys):
    run, networks = begun(tmp_path / "run", tiny_run.data, classes=("elves", "goblins"))
    weights_of(run.folder, run.config)
    assert "Kinds" not in capsys.readouterr().out
    weights = weights_of(run.folder, configure("smoke", 56, 40, classes=("elves", "trolls")))
    assert "by their place, whatever their names: goblins as trolls." in capsys.readouterr().out
    assert equal(networks.generator, weights.generator)
