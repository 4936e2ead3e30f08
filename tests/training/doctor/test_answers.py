"""What training/ANSWERS.md says holds in the Keras that is installed."""

import pytest

from tests.benchmarks import answers


def test_batch_norm_takes_the_gradient_of_a_bias_before_it_and_of_no_other():
    for _, normed, kernel, bias in answers.bias_gradients():
        assert (bias < 1e-5 * kernel) == normed


def test_one_threshold_tells_perfect_fakes_from_real_cards_of_another_range():
    same, other = answers.pixel_range()
    assert share(other) > 0.9 > 0.7 > share(same)


def share(line):
    return float(line.split("tells ")[1].split("%")[0]) / 100


def test_as_posted_the_discriminator_never_moves():
    with pytest.warns(UserWarning, match="does not have any trainable weights"):  # the only sign
        moves = answers.as_posted(answers.Game())
    assert (moves.discriminator, moves.frozen) == (0.0, 0.0)
    assert moves.generator > 1e-5


def test_a_flag_turned_on_and_off_moves_each_network_in_its_own_steps():
    moves = answers.toggled(answers.Game())
    assert moves.discriminator > 1e-5
    assert moves.frozen == 0.0


def test_keras_finds_the_logit_behind_a_sigmoid_layer():
    assert answers.keras_gradient(-20.0) == pytest.approx(-1.0, abs=1e-4)
    assert answers.clipped_gradient(-20.0) == 0.0
