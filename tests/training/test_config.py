import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from training.config import BadConfig, from_json
from training.presets import PRESETS, configure, drawable, growing, halvings, sizes_near, suiting


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_builds_and_survives_its_file(preset):
    config = configure(preset, 64, 64)
    assert from_json(config.to_json()) == config


@pytest.mark.parametrize("preset", [name for name in PRESETS if name != "seed"])
@pytest.mark.parametrize(
    ("height", "width", "grid"),
    [
        (56, 40, (7, 5)),
        (112, 80, (7, 5)),
        (224, 160, (7, 5)),
        (64, 64, (4, 4)),
        (256, 256, (4, 4)),
        (48, 32, (6, 4)),
        (72, 72, (9, 9)),
    ],
)
def test_every_preset_starts_from_a_grid_of_the_cards_shape(preset, height, width, grid):
    config = configure(preset, height, width)
    assert config.base_grid() == grid
    assert all(low >= high for low, high in zip(config.channels, config.channels[1:], strict=False))


@pytest.mark.parametrize(
    ("preset", "height", "width", "changes", "words"),
    [
        ("dcgan", 56, 40, {}, "Choose one of: auto, nano, tiny"),
        ("seed", 56, 40, {}, "prepare the pictures again with --size 64x64"),
        ("dcgan-r1", 57, 40, {}, "start from 40x57"),
        ("base", 102, 74, {}, "near it are 72x104 and 80x112"),
        ("dcgan-r1", 56, 40, {"batch": 1}, "2 or more"),
        ("dcgan-r1", 56, 40, {"batch": 2, "negatives": 2}, "generated cards too"),
        ("dcgan-r1", 72, 72, {"channels": (8,) * 4}, "--size 80x80"),
        ("dcgan-r1", 56, 40, {"seed": -1}, "whole number from 0"),
        ("dcgan-r1", 56, 40, {"seed": 2**31}, "whole number from 0"),
        ("dcgan-r1", 56, 40, {"images": 3}, "at least one batch"),
        ("dcgan-r1", 56, 40, {"images": 10**20}, "at most 1,000,000,000,000"),
        ("dcgan-r1", 56, 40, {"projected": float("nan")}, "projected is nan"),
        ("dcgan-r1", 56, 40, {"r1": float("inf")}, "r1 is inf"),
        ("dcgan-r1", 56, 40, {"augment": 1.5}, "between 0 and 1"),
    ],
)
def test_numbers_that_cannot_be_trained_are_refused_with_the_way_out(preset, height, width, changes, words):
    with pytest.raises(BadConfig, match=f"(?i){words}"):
        configure(preset, height, width, **changes)


@given(st.integers(8, 1024), st.integers(8, 1024))
def test_sizes_that_are_told_can_be_drawn_and_are_near(height, width):
    assume(not drawable(height, width))
    found = [tuple(map(int, size.split("x"))) for size in sizes_near(height, width)]
    assert found
    for wide, tall in found:
        halvings(tall, wide)
        assert max(abs(tall - height) / height, abs(wide - width) / width) < 0.6


def test_presets_that_grow_have_wider_networks_of_which_the_small_ones_are_a_part():
    assert growing(112, 80) == ["tiny", "base"]
    assert "nano" in growing(224, 160)


@pytest.mark.parametrize(
    ("gpu", "hours", "preset"),
    [
        (True, None, "base"),
        (True, 0.1, "base"),
        (False, None, "tiny"),
        (False, 0.05, "nano"),
        (False, 1, "tiny"),
    ],
)
def test_the_machine_and_the_time_choose_a_preset_that_there_is(gpu, hours, preset):
    assert suiting(gpu, hours) == preset
    assert preset in PRESETS


@pytest.mark.parametrize(
    ("height", "width", "batch"),
    [(56, 40, 256), (64, 64, 256), (112, 80, 256), (224, 160, 64), (256, 256, 32)],
)
def test_a_gpu_gets_the_batch_that_fits_its_memory(height, width, batch):
    config = configure("base", height, width)
    assert config.batch == batch
    assert config.negatives == batch // 16
    assert config.learning_rate == pytest.approx(8e-4 * (batch / 256) ** 0.5)


def test_another_batch_has_as_large_a_share_of_negatives():
    assert configure("nano", 56, 40, batch=64).negatives == 4
    assert configure("base", 56, 40, batch=8).negatives == 0
    assert configure("nano", 56, 40, batch=64, negatives=3).negatives == 3
