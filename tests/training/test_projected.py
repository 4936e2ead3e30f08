"""The projected discriminator, at the smallest size that is enlarged."""

import shutil

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from tests.training.ends import equal, state
from training import train
from training.checkpoints import Progress
from training.config import BadConfig
from training.models import Networks
from training.presets import configure
from training.projected import USUAL, Projected, window, zoom
from training.run import Run, Source
from training.sample_cards.cards import draw_card
from training.step import Step
from training.transfer import weights_of

CONFIG = configure("smoke", 56, 40, projected=1.0, projected_every=2)
CARDS = np.random.default_rng(0).integers(0, 256, (1, 8, 56, 40, 3), np.uint8)
LABELS = np.zeros((1, 8), np.int32)


class FirstStep:
    """The first step of a run, which can be taken again and again, each time from the start."""

    def __init__(self) -> None:
        self.networks = Networks.build(CONFIG)
        assert self.networks.projected
        self.step = Step(CONFIG, self.networks)
        self.parts = self.networks.parts() | {"eye": self.networks.projected.eye}
        held = [*self.parts.values(), *self.step.parts().values()]
        self.start = [(variable, variable.numpy()) for part in held for variable in part.variables]

    def __call__(self, cards):
        """Return weights before and after it, the frozen features' too, and its metrics."""
        for variable, value in self.start:
            variable.assign(value)
        before = self.weights()
        metrics = self.step(cards, LABELS, 0, 0.0)
        return before, self.weights(), metrics

    def weights(self):
        return {name: network.get_weights() for name, network in self.parts.items()}


@pytest.fixture(scope="module")
def first_step():
    return FirstStep()


@pytest.fixture(scope="module")
def trained(first_step):
    return first_step(CARDS)


def moved(before, after):
    return any(not np.array_equal(a, b) for a, b in zip(before, after, strict=True))


def test_heads_learn_and_features_stay(trained):
    before, after, metrics = trained
    assert moved(before["projected"], after["projected"])
    assert not moved(before["eye"], after["eye"])
    assert 0 < float(metrics["projected_loss"]) < 3  # 2 where nothing is known


def test_the_generator_learns_from_it_and_the_discriminator_does_not_notice(trained):
    _, after, _ = trained
    plain = configure("smoke", 56, 40)
    alone = Networks.build(plain)
    Step(plain, alone)(CARDS, LABELS, 0, 0.0)
    assert moved(after["generator"], alone.generator.get_weights())
    for one, other in zip(after["discriminator"], alone.discriminator.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_of_every_second_card_the_heads_learn_and_of_the_others_they_see_nothing(first_step, trained):
    _, after, _ = trained
    for changed, noticed in ((1, False), (2, True)):
        other = CARDS.copy()
        other[0, changed] = 255 - other[0, changed]
        assert moved(after["projected"], first_step(other)[1]["projected"]) is noticed


def test_two_builds_of_a_seed_are_one():
    first, second = Projected(CONFIG), Projected(CONFIG)
    cards = tf.random.stateless_uniform((2, 56, 40, 3), [1, 2], -1, 1)
    np.testing.assert_array_equal(first(cards), second(cards))
    other = Projected(configure("smoke", 56, 40, projected=1.0, seed=1))
    assert moved(first.heads.get_weights(), other.heads.get_weights())
    assert not moved(first.eye.get_weights(), other.eye.get_weights())


def test_mixed_features_of_cards_have_the_size_of_one():
    """What the constants claim: each scale counts alike in the mixture."""
    cards = np.stack([np.asarray(draw_card(0, index).resize((40, 56))) for index in range(32)])
    maps = Projected(CONFIG).eye(tf.cast(cards, tf.float32) / 127.5 - 1, training=False)
    assert len(maps) == len(USUAL)
    for features in maps:
        assert 0.4 < float(tf.sqrt(tf.reduce_mean(features**2))) < 1.6


def test_a_resumed_run_repeats_the_unbroken_one(tiny_run, tmp_path):
    options = {"images": 16, "checkpoint_every": 8, "projected": 1.0}
    whole = train.start(tiny_run.data, tmp_path / "whole", "smoke", **options)
    shutil.copytree(whole.folder, tmp_path / "parts")
    shutil.rmtree(tmp_path / "parts" / "checkpoints" / "2")  # as if it had been killed before
    parts = train.resume(tiny_run.data, tmp_path / "parts")
    assert any(name.startswith("projected_optimizer") for name in state(whole))
    assert equal(whole, parts)


def test_heads_are_taken_over_where_both_runs_have_them(tiny_run, tmp_path):
    run = Run.create(tmp_path / "run", CONFIG, Source(str(tiny_run.data), ""))
    theirs, ours = Networks.build(CONFIG), Networks.build(configure("smoke", 56, 40, projected=1.0, seed=1))
    run.save_checkpoint(Progress.at_start(CONFIG), dict(theirs.parts()))
    weights_of(run.folder, CONFIG).give(ours)
    assert not moved(theirs.parts()["projected"].get_weights(), ours.parts()["projected"].get_weights())
    assert weights_of(run.folder, configure("smoke", 56, 40)).projected is None
    weights_of(tiny_run.run, CONFIG).give(ours)  # whose heads stay as they are


LARGE = tf.random.stateless_uniform((64, 70, 64, 3), [3, 4], -1, 1)


def test_half_of_large_cards_are_looked_at_closely_and_the_others_whole():
    zoomed = zoom(LARGE, tf.constant([5, 6]))
    assert zoomed.shape == LARGE.shape
    whole = np.all(zoomed == LARGE, axis=(1, 2, 3))
    assert 20 <= whole.sum() <= 44
    windows = [
        (y, x) for y in range(LARGE.shape[1] // 2 + 1) for x in range(LARGE.shape[2] // 2 + 1)
    ]  # every place that a window can have
    close = zoomed[int(np.argmin(whole))].numpy()
    card = LARGE[int(np.argmin(whole))]
    enlarged = tf.image.resize([card[y : y + 35, x : x + 32] for y, x in windows], (70, 64)).numpy()
    assert np.isclose(enlarged, close, atol=1e-6).all(axis=(1, 2, 3)).sum() == 1


def test_small_cards_are_never_cut():
    small = LARGE[:, :56, :40]
    assert zoom(small, tf.constant([5, 6])) is small


@given(st.integers(64, 300))
def test_windows_lie_within_a_side_and_reach_both_ends(side):
    seen = window(tf.linspace(0.0, 0.999, 101), side).numpy()
    assert seen.shape == (101, side // 2)
    assert (np.diff(seen) == 1).all()
    assert (seen.min(), seen.max()) == (0, side - 1)
    assert 10 <= (seen[:, 0] == 0).sum() <= 20


def test_the_generator_learns_from_what_is_looked_at_closely():
    with tf.GradientTape() as tape:
        tape.watch(LARGE)
        loss = tf.reduce_sum(zoom(LARGE, tf.constant([5, 6])))
    slopes = tape.gradient(loss, LARGE).numpy()
    np.testing.assert_allclose(slopes.sum(), LARGE.numpy().size, rtol=1e-4)  # as much as was looked at
    assert (slopes == 0).any()


def test_a_weight_below_zero_is_refused():
    with pytest.raises(BadConfig, match="projected"):
        configure("smoke", 56, 40, projected=-1.0)
    for cards in (0, 9):
        with pytest.raises(BadConfig, match="1 to the batch's 8"):
            configure("smoke", 56, 40, projected_every=cards, batch=8)
