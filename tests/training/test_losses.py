import math

import numpy as np
import pytest
import tensorflow as tf

from training.config import CONFUSED
from training.losses import LOSSES, gradient_penalty

UNSURE = tf.zeros(4)


@pytest.mark.parametrize(
    ("name", "discriminator", "generator"),
    [
        ("non_saturating", 2 * math.log(2), math.log(2)),
        ("posted", math.log(2), math.log(2)),
        ("probabilities", math.log(2), math.log(2)),
        ("relativistic", math.log(2), math.log(2)),
        ("hinge", 2.0, 0.0),
    ],
)
def test_an_undecided_discriminator_gives_the_textbook_value(name, discriminator, generator):
    loss = LOSSES[name]
    assert float(loss.discriminator(UNSURE, UNSURE)) == pytest.approx(discriminator)
    assert CONFUSED[name] == pytest.approx(discriminator, abs=1e-3)
    assert float(loss.generator(UNSURE, UNSURE)) == pytest.approx(generator)


@pytest.mark.parametrize("name", LOSSES)
def test_the_discriminator_gains_by_ranking_right_and_the_generator_by_fooling_it(name):
    loss = LOSSES[name]
    right = loss.discriminator(UNSURE + 1, UNSURE - 1)
    wrong = loss.discriminator(UNSURE - 1, UNSURE + 1)
    assert float(right) < float(wrong)
    assert float(loss.generator(UNSURE, UNSURE + 1)) < float(loss.generator(UNSURE, UNSURE - 1))


@pytest.mark.parametrize("name", ["non_saturating", "posted", "relativistic"])
def test_the_generator_still_learns_when_the_discriminator_is_certain(name):
    real, fake = UNSURE + 20, tf.Variable(UNSURE - 20)
    with tf.GradientTape() as tape:
        loss = LOSSES[name].generator(real, fake)
    np.testing.assert_allclose(tf.reduce_sum(tape.gradient(loss, fake)), -1.0, rtol=1e-5)


def test_clipped_probabilities_teach_as_logits_do_until_the_discriminator_is_certain():
    for logit, slope in ((-3.0, -1 / (1 + math.exp(-3))), (-20.0, 0.0)):
        fake = tf.Variable(UNSURE + logit)
        with tf.GradientTape() as tape:
            loss = LOSSES["probabilities"].generator(UNSURE, fake)
        np.testing.assert_allclose(tf.reduce_sum(tape.gradient(loss, fake)), slope, atol=1e-5)


def test_hinge_asks_for_no_more_than_its_margin():
    discriminator = LOSSES["hinge"].discriminator
    assert float(discriminator(UNSURE + 3, UNSURE - 3)) == 0
    assert float(discriminator(UNSURE - 2, UNSURE - 3)) == 3
    assert float(discriminator(UNSURE + 3, UNSURE + 2)) == 3


def test_the_posted_loss_is_the_binary_cross_entropy_of_keras():
    import keras

    real, fake = tf.constant([0.3, -1.2, 2.0]), tf.constant([-0.7, 0.1, 1.1])
    labels = tf.constant([1.0, 1, 1, 0, 0, 0])
    keras_loss = keras.losses.BinaryCrossentropy()(labels, tf.sigmoid(tf.concat([real, fake], 0)))
    assert float(LOSSES["posted"].discriminator(real, fake)) == pytest.approx(
        np.asarray(keras_loss), rel=1e-5
    )


def test_the_penalty_of_a_plane_is_its_squared_slope():
    slope = tf.random.stateless_normal((5, 4, 3), [1, 2])
    cards = tf.random.stateless_normal((6, 5, 4, 3), [3, 4])
    with tf.GradientTape() as tape:
        tape.watch(cards)
        logits = tf.reduce_sum(cards * slope, axis=[1, 2, 3])
    penalty = gradient_penalty(tape.gradient(logits, cards))
    assert float(penalty) == pytest.approx(float(tf.reduce_sum(slope**2)), rel=1e-5)
