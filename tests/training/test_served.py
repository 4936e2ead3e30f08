"""What the exported signatures compute, before they are exported."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from serving import cards
from tests.fakes.pictures import decode
from training import dataset
from training.models import DISCRIMINATORS, Networks, to_unit
from training.presets import configure
from training.served import Served, display_size, fit

CONDITIONAL = sorted(DISCRIMINATORS.keys() - {"posted"})


@pytest.mark.parametrize("networks", CONDITIONAL)
def test_every_conditional_discriminator_judges_a_card_as_the_kind_that_suits_it_best(networks):
    config = replace(configure("smoke", 56, 40, classes=("a", "b", "c")), networks=networks)
    built = Networks.build(config)
    for weight in built.discriminator.trainable_weights:
        weight.assign(4 * weight)
    seen = np.random.default_rng(5).choice(np.array([0, 255], np.uint8), (8, 2, 2, 3))
    seen = seen.repeat(28, axis=1).repeat(20, axis=2)
    by_kind = [
        built.discriminator([to_unit(seen), tf.fill(8, label)], training=False).numpy() for label in range(3)
    ]
    assert len(set(np.argmax(by_kind, axis=0))) > 1
    np.testing.assert_allclose(Served(config, built).judge(seen), np.max(by_kind, axis=0), atol=1e-4)


@pytest.mark.parametrize(
    ("native", "aspect", "display"),
    [
        ((64, 64), None, (64, 64)),
        ((64, 64), 1.015, (64, 64)),
        ((112, 80), 0.72, (112, 80)),
        ((64, 64), 5 / 7, (90, 64)),
        ((64, 64), 7 / 5, (64, 90)),
        ((112, 80), 0.67, (120, 80)),
        ((56, 40), 1.0, (56, 56)),
    ],
)
def test_the_display_has_the_aspect_of_the_cards(
    native: tuple[int, int], aspect: float | None, display: tuple[int, int]
):
    assert display_size(*native, aspect) == display


@given(st.integers(8, 256), st.integers(8, 256), st.floats(0.2, 5))
def test_no_side_shrinks_by_more_than_rounding_and_the_aspect_is_kept(height, width, aspect):
    shown = display_size(height, width, aspect)
    assert shown[0] >= height - 1
    assert shown[1] >= width - 1
    # Rounding to an even number moves the side that grew by at most 1.
    assert abs(shown[1] / shown[0] / aspect - 1) <= 0.0201 + 1 / min(shown)


def test_squashing_in_the_graph_is_squashing_in_prepare(tiny_run):
    """A picture scaled to the display size and then squashed is nearly the one that training saw."""
    pictures = [decode(path.read_bytes()).card for path in sorted(tiny_run.cards.iterdir())[:12]]
    shown = np.stack([cards.fit(picture, 90, 64) for picture in pictures])
    trained_on = np.stack([cards.fit(picture, 64, 64) for picture in pictures])
    difference = 127.5 * np.abs(fit(to_unit(shown), (64, 64)) - to_unit(trained_on))
    assert difference.mean() < 1
    assert np.quantile(difference, 0.99) < 8


def test_a_card_at_the_networks_own_size_is_left_as_it_is(tiny_run):
    unit = to_unit(dataset.load(tiny_run.data).cards[:2])
    assert fit(unit, (56, 40)) is unit
