"""Pictures that are no cards: what an upload may be, and neither real cards nor the generator ever show.

A discriminator that never met them extrapolates, and may call pixel noise the most real card of all. A few of
its fakes are therefore negatives, as in negative data augmentation (Sinha et al. 2021). Where there are two,
as in the presets' batches of 32, these are the noise and the plain colour: cut-up and inverted cards come
with a third and a fourth.
"""

import tensorflow as tf

KINDS = 4


def negatives(cards: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Turn each card (n, height, width, 3) in [-1, 1] into a picture that is none, each kind in turn.

    Pixel noise; one plain colour; the card cut into quarters that changed places; the card turned upside down
    with its colours inverted.
    """
    n, height, width, _ = cards.shape
    kind = tf.reshape(tf.range(n) % KINDS, (n, 1, 1, 1))
    noise_seed, strength_seed, colour_seed = tf.unstack(tf.random.split(seed, 3))
    strength = tf.random.stateless_uniform((n, 1, 1, 1), strength_seed)
    noise = strength * tf.random.stateless_uniform(cards.shape, noise_seed, -1.0, 1.0)
    colour = tf.random.stateless_uniform((n, 1, 1, 3), colour_seed, -1.0, 1.0)
    quarters = tf.roll(cards, (height // 2, width // 2), axis=(1, 2))
    pictures = [noise, tf.broadcast_to(colour, cards.shape), quarters, -cards[:, ::-1]]
    return sum(tf.where(kind == number, picture, 0.0) for number, picture in enumerate(pictures))
