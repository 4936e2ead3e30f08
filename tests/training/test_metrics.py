import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from training.metrics import (
    ROWS,
    SSIM_FILTER,
    SSIM_WEIGHTS,
    copy_rate,
    covariance_root,
    density_and_coverage,
    fid,
    kid,
    ms_ssim,
    nearest,
    pair_similarity,
    squared_mmd,
    usual_copy_rate,
)

anything = arrays(np.float32, st.tuples(st.integers(6, 12), st.just(4)), elements=st.floats(-8, 8, width=32))


def normal(count, mean=0.0, scale=1.0, width=16, seed=0):
    return np.random.default_rng(seed).normal(mean, scale, (count, width)).astype(np.float32)


def test_kid_of_two_samples_of_one_distribution_is_zero_within_its_error():
    # The mean of many unbiased estimates; a biased one of this size would be above 10.
    values = [kid(normal(60, seed=2 * i), normal(60, seed=2 * i + 1)).mean for i in range(40)]
    assert abs(np.mean(values)) < 4 * np.std(values) / np.sqrt(len(values))
    assert np.std(values) < 100


def test_squared_mmd_is_the_mean_over_pairs_of_different_rows():
    x, y = normal(5, seed=1), normal(5, seed=2)

    def k(a, b):
        return (float(a.astype(float) @ b.astype(float)) / 16 + 1) ** 3

    pairs = [(i, j) for i in range(5) for j in range(5) if i != j]
    within = np.mean([k(x[i], x[j]) + k(y[i], y[j]) for i, j in pairs])
    across = np.mean([k(a, b) for a in x for b in y])
    assert squared_mmd(x, y) == pytest.approx(within - 2 * across)
    assert squared_mmd(x, y) == pytest.approx(squared_mmd(y, x))


def test_kid_grows_with_the_distance_and_follows_from_its_seed():
    real, near, far = normal(100), normal(100, 0.5, seed=1), normal(100, 1.0, seed=1)
    assert kid(real, real).mean < kid(real, near).mean < kid(real, far).mean
    assert kid(real, near, seed=3) == kid(real, near, seed=3)


@given(anything)
def test_fid_of_a_set_with_itself_is_zero(x):
    assert fid(x, x) == pytest.approx(0, abs=1e-6 * (1 + float(np.square(x).sum())))


@given(anything, anything)
def test_fid_is_never_negative_and_the_same_both_ways(x, y):
    assert fid(x, y) >= 0
    assert fid(x, y) == pytest.approx(fid(y, x), rel=1e-6, abs=1e-4)


def test_fid_of_normals_is_what_the_formula_says():
    # Diagonal covariances: |mean|^2 + the sum of (s - t)^2 over 4 dimensions.
    x, y = normal(200_000, 0, 1, 4), normal(200_000, 0.5, 3, 4, seed=1)
    assert fid(x, y) == pytest.approx(4 * (0.25 + 4), rel=0.02)


def test_fid_of_few_rows_and_of_many_goes_by_the_same_covariance():
    x, y = normal(40, seed=1), normal(40, 1, 2, seed=2)
    root = covariance_root(x)
    assert root.shape == (16, 16)
    np.testing.assert_allclose(root.T @ root, np.cov(x, rowvar=False), atol=1e-6)
    # Columns of zeros change nothing but make the rows fewer than the columns.
    wider = [np.pad(rows, ((0, 0), (0, 100))) for rows in (x, y)]
    assert fid(*wider) == pytest.approx(fid(x, y))


@given(anything)
def test_every_card_is_covered_by_itself(x):
    assert density_and_coverage(x, x)[1] == 1


@given(anything, anything)
def test_coverage_is_a_share_and_density_not_negative(x, y):
    density, coverage = density_and_coverage(x, y)
    assert 0 <= coverage <= 1
    assert 0 <= density <= len(x) / 5


def test_samples_of_one_distribution_have_density_and_coverage_near_one():
    # Naeem et al.: the expected coverage is 1 - 2^-k, 0.97 for k = 5 and many cards.
    density, coverage = density_and_coverage(normal(600), normal(600, seed=1))
    assert density == pytest.approx(1, abs=0.1)
    assert coverage == pytest.approx(1 - 2**-5, abs=0.03)


def test_collapse_loses_coverage_and_keeps_density():
    density, coverage = density_and_coverage(normal(300), np.tile(normal(5, seed=1), (60, 1)))
    assert coverage < 0.2
    assert density > 0.5


def test_more_rows_than_a_block_holds_are_all_compared():
    x, y = normal(2 * ROWS + 100, width=3), normal(ROWS + 100, width=3, seed=1)
    indices, distances = nearest(x, y)
    last = np.linalg.norm(y - x[-1], axis=1)
    assert (len(indices), indices[-1, 0]) == (len(x), last.argmin())
    assert distances[-1, 0] == pytest.approx(last.min(), abs=1e-6)
    density, coverage = density_and_coverage(x, y)
    assert density == pytest.approx(1, abs=0.1)
    # A ball of 5 cards misses every fake with the chance that all 5 of its first comers are real.
    assert coverage == pytest.approx(1 - (len(x) / (len(x) + len(y))) ** 5, abs=0.05)


def test_the_nearest_are_the_nearest():
    x, y = normal(9, seed=1), normal(30, seed=2)
    indices, distances = nearest(x, y, 2)
    expected = np.linalg.norm(x[:, None].astype(float) - y[None], axis=2)
    np.testing.assert_array_equal(indices, np.argsort(expected, axis=1)[:, :2])
    np.testing.assert_allclose(distances, np.sort(expected, axis=1)[:, :2], atol=1e-6)


def test_copies_are_found_and_new_cards_are_not():
    train, held_out, new = normal(500), normal(200, seed=1), normal(200, seed=2)
    copies = train[:200] + normal(200, scale=0.01, seed=3)
    assert copy_rate(train, held_out, copies) == 1
    assert copy_rate(train, held_out, new) < 0.05
    assert copy_rate(train, held_out, np.concatenate([copies, new])) == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("held_out", [20, 40, 250])
def test_the_floor_of_the_copy_rate_is_what_a_generator_has_that_copies_nothing(held_out):
    random = np.random.default_rng(held_out)
    rates = []
    for _ in range(100):
        train, others, new = (
            random.normal(size=(count, 8)).astype(np.float32) for count in (200, held_out, 400)
        )
        rates.append((copy_rate(train, others, new), usual_copy_rate(train, others)))
    generated, floor = np.mean(rates, axis=0)
    assert floor == pytest.approx(generated, rel=0.3)


@pytest.mark.parametrize("size", [(8, 8), (40, 56), (80, 112), (45, 63)])
def test_ms_ssim_is_that_of_tensorflow(size):
    random = np.random.default_rng(0)
    small = random.integers(0, 256, (8, 4, 3, 3)).astype(np.uint8)
    one = np.stack([np.asarray(Image.fromarray(card).resize(size)) for card in small])
    other = np.clip(one * random.uniform(0.5, 1.1, (8, 1, 1, 1)) + random.normal(0, 9, one.shape), 0, 255)
    other = other.astype(np.uint8)
    window = min(SSIM_FILTER, *size)
    scales = int(np.log2(min(size) / window)) + 1
    weights = np.array(SSIM_WEIGHTS[:scales]) / sum(SSIM_WEIGHTS[:scales])
    theirs = tf.image.ssim_multiscale(
        tf.constant(one), tf.constant(other), 255, weights.tolist(), filter_size=window
    )
    assert theirs.numpy().std() > 0.05
    np.testing.assert_allclose(ms_ssim(one, other), theirs, atol=1e-5)


@pytest.mark.parametrize("size", [(8, 8), (40, 56), (64, 64), (45, 63)])
def test_cards_that_repeat_are_more_alike_than_cards_that_do_not(size):
    width, height = size
    varied = np.random.default_rng(0).integers(0, 256, (40, height, width, 3)).astype(np.uint8)
    few = np.tile(varied[:2], (20, 1, 1, 1))
    assert pair_similarity(np.tile(varied[:1], (5, 1, 1, 1))) == pytest.approx(1)
    assert 0 <= pair_similarity(varied) < pair_similarity(few) <= 1
