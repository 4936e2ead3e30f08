import pytest

from training.config import PRESETS, BadConfig, configure, from_json


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_builds_and_survives_its_file(preset):
    config = configure(preset, 64, 64)
    assert from_json(config.to_json()) == config


def test_the_default_draws_trading_cards_from_a_grid_of_seven_by_five():
    assert configure("dcgan-r1", 56, 40).base_grid() == (7, 5)


@pytest.mark.parametrize(
    ("preset", "height", "width", "changes", "words"),
    [
        ("dcgan", 56, 40, {}, "Choose one of: dcgan-r1, seed, tiny"),
        ("seed", 56, 40, {}, "prepare the folder with --size 64x64"),
        ("dcgan-r1", 57, 40, {}, "multiples of 8"),
        ("dcgan-r1", 56, 40, {"batch": 1}, "2 or more"),
        ("dcgan-r1", 56, 40, {"batch": 2}, "generated cards too"),
        ("dcgan-r1", 72, 72, {}, "such as 80x112"),
        ("dcgan-r1", 56, 40, {"seed": -1}, "whole number from 0"),
        ("dcgan-r1", 56, 40, {"seed": 2**31}, "whole number from 0"),
        ("dcgan-r1", 56, 40, {"images": 3}, "at least one batch"),
        ("dcgan-r1", 56, 40, {"augment": 1.5}, "between 0 and 1"),
    ],
)
def test_numbers_that_cannot_be_trained_are_refused_with_the_way_out(preset, height, width, changes, words):
    with pytest.raises(BadConfig, match=f"(?i){words}"):
        configure(preset, height, width, **changes)
