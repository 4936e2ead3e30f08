"""One step of the game: both networks learn from one batch."""

import keras
import tensorflow as tf

from training.augment import augment
from training.config import Config
from training.losses import LOSSES, gradient_penalty
from training.models import Networks, to_unit
from training.negatives import negatives

Metrics = dict[str, tf.Tensor]


class Step:
    """The compiled step, with one optimizer for each network.

    Call it with cards uint8 (batch, height, width, 3) and the step's index, int64; it returns the metrics.
    All randomness comes from (config.seed, index), so that a resumed run repeats the unbroken one.
    """

    def __init__(self, config: Config, networks: Networks) -> None:
        self.config = config
        self.networks = networks
        self.loss = LOSSES[config.loss]
        self.generated = config.batch - config.negatives  # of the discriminator's fakes
        self.generator_optimizer = adam(config, networks.generator)
        self.discriminator_optimizer = adam(config, networks.discriminator)

    def optimizers(self) -> dict[str, keras.optimizers.Optimizer]:
        """Name both, as checkpoints do."""
        return {
            "generator_optimizer": self.generator_optimizer,
            "discriminator_optimizer": self.discriminator_optimizer,
        }

    @tf.function(autograph=False)
    def __call__(self, cards: tf.Tensor, index: tf.Tensor) -> Metrics:
        """Move the discriminator, then the generator, then its average."""
        config = self.config
        seeds = tf.random.split(tf.random.fold_in(tf.constant([config.seed, 0]), index))
        real = to_unit(tf.ensure_shape(cards, (config.batch, config.height, config.width, 3)))
        metrics = self.discriminator_step(real, seeds[0]) | self.generator_step(real, seeds[1])
        follow(self.networks, averaging_rate(config, index))
        return metrics

    def discriminator_step(self, real: tf.Tensor, seed: tf.Tensor) -> Metrics:
        """Teach the discriminator to tell real cards from fakes."""
        fake_seed, judge_seed, negative_seed = tf.unstack(tf.random.split(seed, 3))
        fake = self.fakes(fake_seed, training=not self.config.predicted_fakes)
        if self.config.negatives:
            others = negatives(real[self.generated :], negative_seed)
            fake = tf.concat([fake[: self.generated], others], 0)
        with tf.GradientTape() as tape:
            with tf.GradientTape(persistent=True) as inputs:
                inputs.watch([real, fake])
                real_logits, fake_logits = self.judge_both(real, fake, judge_seed)
            adversarial = self.loss.discriminator(real_logits, fake_logits)
            penalty = tf.constant(0.0)
            if self.config.r1:
                penalty += self.config.r1 / 2 * gradient_penalty(inputs.gradient(real_logits, real))
            if self.config.r2:
                penalty += self.config.r2 / 2 * gradient_penalty(inputs.gradient(fake_logits, fake))
            total = adversarial + penalty
        learn(self.discriminator_optimizer, self.networks.discriminator, tape, total)
        generated_logits = fake_logits[: self.generated]
        return {
            "d_loss": adversarial,
            "penalty": penalty,
            "real_accuracy": share(real_logits > 0),
            "fake_accuracy": share(generated_logits < 0),
            "relativistic_accuracy": share(real_logits[:, None] > generated_logits[None]),
        }

    def generator_step(self, real: tf.Tensor, seed: tf.Tensor) -> Metrics:
        """Teach the generator to be taken for real, with fresh noise and fresh augmentation."""
        noise_seed, fake_seed, real_seed = tf.unstack(tf.random.split(seed, 3))
        real_logits = tf.zeros(self.config.batch)
        if self.loss.generator_sees_real:
            real_logits = self.judge(real, real_seed)
        with tf.GradientTape() as tape:
            fake_logits = self.judge(self.fakes(noise_seed, training=True), fake_seed)
            loss = self.loss.generator(real_logits, fake_logits)
        learn(self.generator_optimizer, self.networks.generator, tape, loss)
        return {"g_loss": loss}

    def fakes(self, seed: tf.Tensor, training: bool) -> tf.Tensor:
        """Draw a batch of cards (batch, height, width, 3) in [-1, 1]."""
        noise = tf.random.stateless_normal((self.config.batch, self.config.noise_size), seed)
        return self.networks.generator(noise, training=training)

    def judge(self, cards: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Return the logits (n,) of cards as the discriminator sees them: augmented."""
        seen = augment(cards, self.config.augment or 0.0, seed)
        return self.networks.discriminator(seen, training=True)

    def judge_both(self, real: tf.Tensor, fake: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Judge real cards and fakes, in passes of their own unless the recipe mixes them."""
        if self.config.mixed_batch:
            real_logits, fake_logits = tf.split(self.judge(tf.concat([real, fake], 0), seed), 2)
            return real_logits, fake_logits
        real_seed, fake_seed = tf.unstack(tf.random.split(seed))
        return self.judge(real, real_seed), self.judge(fake, fake_seed)


def adam(config: Config, network: keras.Model) -> keras.optimizers.Optimizer:
    """Return an optimizer built for this network, so that tracing the step creates no variables."""
    optimizer = keras.optimizers.Adam(config.learning_rate, config.beta_1, config.beta_2, epsilon=1e-8)
    optimizer.build(network.trainable_variables)
    return optimizer


def learn(
    optimizer: keras.optimizers.Optimizer, network: keras.Model, tape: tf.GradientTape, loss: tf.Tensor
) -> None:
    """Move a network's own weights, and no others, against the loss."""
    variables = network.trainable_variables
    optimizer.apply(tape.gradient(loss, variables), variables)


def share(truths: tf.Tensor) -> tf.Tensor:
    """Return the share of true entries."""
    return tf.reduce_mean(tf.cast(truths, tf.float32))


def averaging_rate(config: Config, index: tf.Tensor) -> tf.Tensor:
    """Return how much of the generator enters its average at this step.

    The half-life grows with the run, to a twentieth of the images seen, up to config.average_half_life.
    """
    if config.average_half_life == 0:
        return tf.constant(1.0)
    seen = tf.cast(index + 1, tf.float32) * config.batch
    half_life = tf.minimum(seen / 20, float(config.average_half_life))
    return 1.0 - 0.5 ** (config.batch / half_life)


def follow(networks: Networks, rate: tf.Tensor) -> None:
    """Move the average towards the generator, its normalisation statistics included."""
    for mean, weight in zip(networks.average.weights, networks.generator.weights, strict=True):
        mean.assign_add(rate * (weight - mean))
