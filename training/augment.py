"""Differentiable augmentation (Zhao 2020): what the discriminator may see, real and generated alike.

Every function is affine in the pixels. A gradient penalty differentiates behind it twice: the slow ones bring
their own adjoint, which brings them back in turn, so that either way costs as much as the change itself.
Resizing must stay out: TensorFlow has no second derivative of it, and drops a gradient penalty behind it
without a word.
Cards are (n, height, width, 3) in [-1, 1], of any float type; probability is a number or a scalar tensor in
[0, 1], the share of the cards that are changed; seeds are int32 (2,).
"""

from collections.abc import Callable

import tensorflow as tf

SHIFT = 0.125  # of a side
HOLE = 0.3  # of a side

Adjoint = tuple[tf.Tensor, Callable[[tf.Tensor], tuple[tf.Tensor, None, None]]]


def augment(cards: tf.Tensor, probability: float | tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Apply colour, translation and cutout, each to each card with this probability; a plain 0.0 is free."""
    if isinstance(probability, float | int) and probability == 0:
        return cards
    for change, its_seed in zip(
        (colour, translate, cut_out), tf.unstack(tf.random.split(seed, 3)), strict=True
    ):
        cards = change(cards, probability, its_seed)
    return cards


def colour(cards: tf.Tensor, probability: float | tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Brightness by ±0.5, saturation by 0 to 2, contrast by 0.5 to 1.5."""
    (brightness, saturation, contrast), chosen = draw(3, cards, probability, seed)
    brightness = tf.where(chosen, brightness - 0.5, 0.0)[:, None, None]
    saturation = tf.where(chosen, 2 * saturation, 1.0)[:, None, None]
    contrast = tf.where(chosen, contrast + 0.5, 1.0)[:, None, None]
    own, grey = tf.eye(3, dtype=cards.dtype), tf.fill((3, 3), tf.constant(1 / 3, cards.dtype))
    mixed = mix(cards, contrast * (saturation * own + (1 - saturation) * grey), 1 - contrast)
    return mixed + brightness[..., None]


@tf.custom_gradient
def mix(cards: tf.Tensor, channels: tf.Tensor, mean: tf.Tensor) -> Adjoint:
    """Multiply each card's pixels by its symmetric matrix (n, 3, 3), and add (n, 1, 1) of its mean.

    Both matrix and mean are symmetric: the adjoint is the same again.
    """
    pixels = tf.reshape(cards, (tf.shape(cards)[0], -1, 3))
    mixed = pixels @ channels + mean * tf.reduce_mean(pixels, axis=[1, 2], keepdims=True)
    return tf.reshape(mixed, tf.shape(cards)), lambda gradient: (mix(gradient, channels, mean), None, None)


def translate(cards: tf.Tensor, probability: float | tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Shift by up to an eighth of each side; what comes in is mid-grey."""
    shifts, chosen = draw(2, cards, probability, seed)
    down, right = (
        tf.where(chosen, tf.cast(tf.round((2 * shift - 1) * SHIFT * side), tf.int32), 0)
        for shift, side in zip(shifts, cards.shape[1:3], strict=True)
    )
    return rearrange(cards, sources(cards, down, right), sources(cards, -down, -right))


def sources(cards: tf.Tensor, down: tf.Tensor, right: tf.Tensor) -> tf.Tensor:
    """Return (n, height, width): which pixel of the batch comes to each place, or one past the last."""
    n, height, width = tf.shape(cards)[0], cards.shape[1], cards.shape[2]
    card = tf.range(n)[:, None, None]
    row = tf.range(height)[None, :, None] - down[:, None, None]
    column = tf.range(width)[None, None, :] - right[:, None, None]
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    return tf.where(inside, (card * height + row) * width + column, n * height * width)


@tf.custom_gradient
def rearrange(cards: tf.Tensor, forth: tf.Tensor, back: tf.Tensor) -> Adjoint:
    """Fetch each place's pixel from where `forth` says, mid-grey if from nowhere.

    No pixel is fetched twice, so that fetching by `back`, the inverse, is the adjoint: TensorFlow's own
    gradient of a gather is a scatter, which takes longer.
    """
    pixels = tf.pad(tf.reshape(cards, (-1, 3)), [[0, 1], [0, 0]])
    return tf.gather(pixels, forth), lambda gradient: (rearrange(gradient, back, forth), None, None)


def cut_out(cards: tf.Tensor, probability: float | tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Grey out a rectangle of HOLE times each side, anywhere, also across the edge."""
    (y, x), chosen = draw(2, cards, probability, seed)
    height, width, channels = cards.shape[1:]
    rows = tf.where(chosen[:, None], within(y, height), 0.0)
    columns = tf.repeat(within(x, width), channels, axis=1)
    kept = 1 - rows[:, :, None] * columns[:, None, :]
    return cards * tf.reshape(kept, tf.shape(cards))


def within(centre: tf.Tensor, size: int) -> tf.Tensor:
    """Return (n, size): 1 where a hole around `centre`, in [0, 1], covers the middle of a pixel, else 0."""
    middles = (tf.range(size, dtype=centre.dtype) + 0.5) / size
    return tf.cast(abs(middles - centre[:, None]) < HOLE / 2, centre.dtype)


def draw(
    count: int, cards: tf.Tensor, probability: float | tf.Tensor, seed: tf.Tensor
) -> tuple[list[tf.Tensor], tf.Tensor]:
    """Draw for each card `count` numbers (n,) in [0, 1), and whether it is chosen."""
    *numbers, choice = tf.unstack(
        tf.random.stateless_uniform((count + 1, tf.shape(cards)[0]), seed, dtype=cards.dtype)
    )
    return numbers, choice < tf.cast(probability, cards.dtype)
