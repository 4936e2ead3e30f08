"""What a repaired script is given: a step that stays stable, and samples of the same noise.

The text of this file below its imports is copied into the script; it may use `np` and `tf` alone.
"""

import numpy as np
import tensorflow as tf


class StableStep:
    """One step of both networks, each moved by its own variables alone.

    Cross-entropy on logits, separate passes for reals and fakes, R1 (Mescheder 2018) on the reals, the same
    kind of random augmentation for all (Zhao 2020), and a running average of the generator for samples.
    Images are float (batch, height, width, channels) in the generator's range.
    """

    def __init__(
        self,
        generator: tf.keras.Model,
        discriminator: tf.keras.Model,
        g_optimizer: tf.keras.optimizers.Optimizer,
        d_optimizer: tf.keras.optimizers.Optimizer,
        r1: float = 10.0,
        half_life: int = 10_000,
    ) -> None:
        self.generator, self.discriminator = generator, discriminator
        self.average = tf.keras.models.clone_model(generator)
        self.average.set_weights(generator.get_weights())
        # An optimizer belongs to one network's variables: each gets one of its own, with the settings it had.
        self.g_optimizer = type(g_optimizer).from_config(g_optimizer.get_config())
        self.d_optimizer = type(d_optimizer).from_config(d_optimizer.get_config())
        self.r1, self.half_life = r1, half_life
        self.seen = tf.Variable(0.0, trainable=False)

    def __call__(self, images: np.ndarray, noise: np.ndarray) -> list[float]:
        """Move both networks; return both losses, the discriminator's first, and its accuracy."""
        images, noise = tf.cast(images, tf.float32), tf.cast(noise, tf.float32)
        return [float(value) for value in self.step(images, noise)]

    @tf.function(autograph=False, reduce_retracing=True)
    def step(self, images: tf.Tensor, noise: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Move the discriminator, the generator and its average."""
        d_loss, accuracy = self.move_discriminator(images, noise)
        g_loss = self.move_generator(noise)
        self.move_average(tf.cast(tf.shape(noise)[0], tf.float32))
        return d_loss, g_loss, accuracy

    def move_discriminator(self, images: tf.Tensor, noise: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Teach the discriminator; return its loss, without the penalty, and its accuracy."""
        fakes = self.generator(noise, training=True)
        variables = self.discriminator.trainable_variables
        with tf.GradientTape() as tape:
            with tf.GradientTape() as inner:
                inner.watch(images)
                real_logits = self.discriminator(augment(images), training=True)
            slope = inner.gradient(real_logits, images)
            penalty = tf.reduce_mean(tf.reduce_sum(tf.square(slope), axis=[1, 2, 3]))
            fake_logits = self.discriminator(augment(fakes), training=True)
            loss = tf.reduce_mean(tf.nn.softplus(-real_logits)) + tf.reduce_mean(tf.nn.softplus(fake_logits))
            total = loss + self.r1 / 2 * penalty
        self.d_optimizer.apply_gradients(zip(tape.gradient(total, variables), variables, strict=True))
        right = [tf.cast(real_logits > 0, tf.float32), tf.cast(fake_logits < 0, tf.float32)]
        return loss / 2, tf.reduce_mean(right)

    def move_generator(self, noise: tf.Tensor) -> tf.Tensor:
        """Teach the generator to pass for real; return its loss."""
        variables = self.generator.trainable_variables
        with tf.GradientTape() as tape:
            logits = self.discriminator(augment(self.generator(noise, training=True)), training=True)
            loss = tf.reduce_mean(tf.nn.softplus(-logits))
        self.g_optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss

    def move_average(self, batch: tf.Tensor) -> None:
        """Let the average follow; `half_life` is in images."""
        seen = self.seen.assign_add(batch)
        kept = 0.5 ** (batch / tf.minimum(float(self.half_life), seen / 20.0))  # a short memory at first
        for average, weight in zip(self.average.weights, self.generator.weights, strict=True):
            average.assign(kept * average + (1 - kept) * weight)


def augment(images: tf.Tensor) -> tf.Tensor:
    """Change brightness and contrast, shift, cut a hole: at random, and such that gradients pass."""
    count, height, width = tf.shape(images)[0], images.shape[1], images.shape[2]
    mean = tf.reduce_mean(images, axis=[1, 2, 3], keepdims=True)
    images = (images - mean) * tf.random.uniform((count, 1, 1, 1), 0.5, 1.5) + mean
    images += tf.random.uniform((count, 1, 1, 1), -0.5, 0.5)
    down, right = height // 8, width // 8
    images = tf.pad(images, [[0, 0], [down, down], [right, right], [0, 0]])
    top = tf.random.uniform((), 0, 2 * down + 1, tf.int32)
    left = tf.random.uniform((), 0, 2 * right + 1, tf.int32)
    shape = images.shape
    images = images[:, top : top + height, left : left + width]
    images = tf.ensure_shape(images, (shape[0], height, width, shape[3]))
    rows = hole(count, height)[:, :, None, None]
    columns = hole(count, width)[:, None, :, None]
    return images * (1 - rows * columns)


def hole(count: tf.Tensor, side: int) -> tf.Tensor:
    """Return (count, side): 1 on a random stretch of up to a third of the side, else 0."""
    middle = tf.random.uniform((count, 1), 0.0, float(side))
    return tf.cast(tf.abs(tf.range(side, dtype=tf.float32) - middle) < side / 6, tf.float32)


def fixed_samples(generator: tf.keras.Model, count: int) -> np.ndarray:
    """Draw the same noise each time, so that two grids differ by what was learnt alone."""
    noise = np.random.RandomState(0).randn(count, generator.input_shape[-1])
    return generator.predict(noise.astype("float32"), verbose=0)
