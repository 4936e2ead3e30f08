"""Differentiable augmentation (Zhao 2020): what the discriminator may see, real and generated alike.

Every function is affine in the pixels and built from matrix products and masks alone. Resizing must
stay out: TensorFlow has no second derivative of it, and drops a gradient penalty behind it without a word.
Cards are (n, height, width, 3) in [-1, 1]; seeds are int32 (2,).
"""

import tensorflow as tf

SHIFT = 0.125  # of a side
HOLE = 0.3  # of a side


def augment(cards: tf.Tensor, probability: float, seed: tf.Tensor) -> tf.Tensor:
    """Apply colour, translation and cutout, each to each card with this probability."""
    if probability == 0:
        return cards
    seeds = tf.unstack(tf.random.split(seed, 6))
    for change, strength, choice in zip((colour, translate, cut_out), seeds[:3], seeds[3:], strict=True):
        chosen = tf.random.stateless_uniform((tf.shape(cards)[0], 1, 1, 1), choice) < probability
        cards = tf.where(chosen, change(cards, strength), cards)
    return cards


def colour(cards: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Brightness by ±0.5, saturation by 0 to 2, contrast by 0.5 to 1.5."""
    n = tf.shape(cards)[0]
    brightness, saturation, contrast = tf.unstack(tf.random.stateless_uniform((3, n, 1, 1, 1), seed))
    cards += brightness - 0.5
    grey = tf.reduce_mean(cards, axis=3, keepdims=True)
    cards = grey + (cards - grey) * (2 * saturation)
    mean = tf.reduce_mean(cards, axis=[1, 2, 3], keepdims=True)
    return mean + (cards - mean) * (contrast + 0.5)


def translate(cards: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Shift by up to an eighth of each side; what comes in is mid-grey."""
    n, height, width = tf.shape(cards)[0], cards.shape[1], cards.shape[2]
    down, right = tf.unstack(tf.random.stateless_uniform((2, n), seed, -1.0, 1.0))
    cards = tf.einsum("nij,njwc->niwc", shift_matrix(down * SHIFT * height, height), cards)
    return tf.einsum("nij,nhjc->nhic", shift_matrix(right * SHIFT * width, width), cards)


def shift_matrix(shift: tf.Tensor, size: int) -> tf.Tensor:
    """Return (n, size, size) whose row i picks pixel i - shift, or nothing outside the card."""
    source = tf.range(size)[None, :] - tf.cast(tf.round(shift), tf.int32)[:, None]
    return tf.one_hot(source, size)


def cut_out(cards: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Grey out a rectangle of HOLE times each side, anywhere, also across the edge."""
    n, height, width = tf.shape(cards)[0], cards.shape[1], cards.shape[2]
    y, x = tf.unstack(tf.random.stateless_uniform((2, n, 1, 1, 1), seed))
    rows = tf.reshape(tf.range(height, dtype=tf.float32), (1, height, 1, 1)) + 0.5
    columns = tf.reshape(tf.range(width, dtype=tf.float32), (1, 1, width, 1)) + 0.5
    hole = (abs(rows - y * height) < HOLE * height / 2) & (abs(columns - x * width) < HOLE * width / 2)
    return tf.where(hole, 0.0, cards)
