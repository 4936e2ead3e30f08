import numpy as np
import pytest
import tensorflow as tf

from training import models
from training.presets import configure

SIZES = {"dcgan-r1": (56, 40), "seed": (64, 64), "smoke": (56, 40)}


def test_the_posted_networks_have_the_posted_number_of_weights():
    config = configure("seed", 64, 64)
    assert models.generator(config).count_params() == 994_144
    assert models.discriminator(config).count_params() == 263_073


@pytest.mark.parametrize("preset", SIZES)
def test_noise_becomes_cards_in_range_and_cards_become_one_logit_each(preset):
    config = configure(preset, *SIZES[preset])
    noise = tf.random.stateless_normal((3, config.noise_size), [1, 2])
    cards = models.generator(config)(noise, training=False)
    assert cards.shape == (3, *SIZES[preset], 3)
    assert float(tf.reduce_max(tf.abs(cards))) <= 1
    assert models.discriminator(config)(cards, training=False).shape == (3,)


@pytest.mark.parametrize("preset", SIZES)
def test_a_network_is_the_same_for_the_same_seed_and_another_for_another(preset):
    first, again, other = (
        models.generator(configure(preset, *SIZES[preset], seed=seed)).get_weights() for seed in (1, 1, 2)
    )
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert any(not np.array_equal(a, b) for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize("preset", [*SIZES, "hinge-sn"])
def test_a_discriminator_is_the_same_for_the_same_seed_and_another_for_another(preset):
    first, again, other = (
        models.discriminator(configure(preset, *SIZES.get(preset, (56, 40)), seed=seed)).get_weights()
        for seed in (1, 1, 2)
    )
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not any(np.array_equal(a, b) for a, b in zip(first, other, strict=True) if a.std() > 0)


def test_no_layer_of_any_player_or_seed_starts_like_another():
    def first(seed, player, layers=50):
        seeds = configure("smoke", 56, 40, seed=seed).layer_seeds(player)
        return {next(seeds) for _ in range(layers)}

    sets = [first(seed, player) for seed in range(4) for player in range(3)]
    assert len(set.union(*sets)) == sum(map(len, sets))


def test_a_score_does_not_depend_on_the_rest_of_the_batch():
    network = models.discriminator(configure("dcgan-r1", 56, 40))
    cards = tf.random.stateless_uniform((16, 56, 40, 3), [1, 2], -1, 1)
    together = network(cards, training=False)
    alone = [network(cards[i : i + 1], training=False)[0] for i in range(16)]
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_pixels_survive_the_way_to_the_networks_range_and_back():
    pixels = tf.range(256)
    np.testing.assert_array_equal(models.to_pixels(models.to_unit(pixels)), pixels)


def test_the_range_of_the_networks_is_minus_one_to_one():
    np.testing.assert_array_equal(models.to_unit(tf.constant([0, 255], tf.uint8)), [-1.0, 1.0])
    np.testing.assert_array_equal(models.to_pixels(tf.constant([-7.0, 7.0])), [0, 255])


def test_a_folded_convolution_is_the_one_behind_nearest_neighbours():
    layer = models.NearestConv2D(5, 3, 2, "same", use_bias=True, bias_initializer="ones", activation="tanh")
    x = tf.random.stateless_normal((2, 7, 5, 4), [1, 2])
    found = layer(x)
    kernel = tf.reverse(tf.transpose(layer.kernel, [0, 1, 3, 2]), [0, 1])
    doubled = tf.repeat(tf.repeat(x, 2, axis=1), 2, axis=2)
    np.testing.assert_allclose(found, tf.tanh(tf.nn.conv2d(doubled, kernel, 1, "SAME") + 1), atol=1e-5)
