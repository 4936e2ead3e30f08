"""The networks as the gateway calls them: uint8 pixels at the cards' own aspect, scores without labels."""

import keras
import tensorflow as tf

from training.config import Config
from training.models import FEATURES, Networks, to_pixels, to_unit
from training.subpixel import drawing_form

Size = tuple[int, int]  # height and width, in pixels

SAME_ASPECT = 0.02
"""Up to this share two aspects are taken for one."""


class Served:
    """What both exported signatures compute, each row on its own.

    Cards have the display size on both sides, whatever the size that the networks work at.
    """

    def __init__(self, config: Config, networks: Networks, aspect: float | None = None) -> None:
        """Take the width of the cards that were trained on as a share of their height, where it is known."""
        self.networks = networks
        self.generator = drawing_form(networks.average)
        self.native: Size = config.height, config.width
        self.display = display_size(config.height, config.width, aspect)
        self.kinds = len(config.classes)
        if self.kinds:
            self.features, self.head = parted(networks.discriminator)

    def draw(self, noise: tf.Tensor, *label: tf.Tensor) -> tf.Tensor:
        """Return cards uint8 (n, *display, 3) of the averaged generator, by label if it knows kinds."""
        unit = self.generator([noise, *label] if label else noise, training=False)
        return to_pixels(fit(unit, self.display))

    def judge(self, cards: tf.Tensor) -> tf.Tensor:
        """Return the logits (n,) of cards uint8 (n, height, width, 3), of the display or the native size.

        Where there are several kinds a card is judged as each, and the highest logit counts.
        """
        unit = fit(to_unit(cards), self.native)
        if not self.kinds:
            return self.networks.discriminator(unit, training=False)
        features = self.features(unit, training=False)

        def judge_as(label: tf.Tensor) -> tf.Tensor:
            return self.head([features, tf.fill(tf.shape(features)[:1], label)], training=False)

        logits = tf.map_fn(judge_as, tf.range(self.kinds), fn_output_signature=tf.float32)
        return tf.reduce_max(logits, axis=0)  # of (kinds, n)


def display_size(height: int, width: int, aspect: float | None) -> Size:
    """Return the size to show cards at that networks of (height, width) know squashed from another aspect.

    One side grows, to an even number of pixels, and none shrinks: a score sees what training saw only if no
    detail was lost on the way. It stays as it is where the aspect is unknown or nearly that of the networks.
    """
    if aspect is None or abs(aspect * height / width - 1) <= SAME_ASPECT:
        return height, width
    if aspect < width / height:
        return 2 * round(width / aspect / 2), width
    return height, 2 * round(height * aspect / 2)


def fit(unit: tf.Tensor, size: Size) -> tf.Tensor:
    """Resize cards in [-1, 1] as serving.cards.fit does: by Lanczos' kernel, antialiased."""
    if tuple(unit.shape[1:3]) == size:
        return unit
    return tf.clip_by_value(tf.image.resize(unit, size, "lanczos3", antialias=True), -1.0, 1.0)


def parted(discriminator: keras.Model) -> tuple[keras.Model, keras.Model]:
    """Cut a conditional discriminator in two, cards -> features and features, label -> logit.

    The first is the dear part, and the same for every kind.
    """
    cards, label = discriminator.inputs
    features = discriminator.get_layer(FEATURES).output
    return keras.Model(cards, features), keras.Model([features, label], discriminator.output)
