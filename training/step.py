"""One step of the game: both networks learn from one batch. Several steps make one call."""

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from training import devices, vitals
from training.augment import augment
from training.config import BadConfig, Config
from training.devices import Replica
from training.losses import LOSSES, gradient_penalty
from training.models import Networks, answer, to_unit
from training.negatives import negatives
from training.projected import AUGMENT, RATE, zoom
from training.schedule import easing, learning_rate, slowed

Metrics = dict[str, tf.Tensor]
METRICS = (
    "d_loss",
    "g_loss",
    "penalty",
    "real_accuracy",
    "fake_accuracy",
    "relativistic_accuracy",
    "projected_loss",
    *vitals.NAMES,
)


class Turn(NamedTuple):
    """What one replica plays one step with."""

    replica: Replica
    real: tf.Tensor  # its cards (rows, height, width, 3) in [-1, 1]
    labels: tf.Tensor  # theirs, int32 (rows,); its fakes have the same
    index: tf.Tensor  # of the step
    probability: tf.Tensor  # of each augmentation
    strength: tf.Tensor  # a factor of both penalties


class Step:
    """The compiled steps, with one optimizer for each network.

    Made inside a strategy's scope, it trains all of the strategy's replicas: each takes its rows of the same
    batch. All randomness comes from (config.seed, index), so that a resumed run repeats the unbroken one.
    """

    def __init__(self, config: Config, networks: Networks) -> None:
        self.config = config
        self.networks = networks
        self.loss = LOSSES[config.loss]
        self.strategy = tf.distribute.get_strategy()
        self.replicas = self.strategy.num_replicas_in_sync
        devices.refuse_uneven(config, self.replicas)
        self.learnt = {
            "generator": networks.generator.trainable_variables,
            "discriminator": thawed(networks.discriminator, config.frozen),
        }
        if networks.projected:
            self.learnt["projected"] = networks.projected.heads.trainable_variables
        self.optimizers = {
            player: adam(slowed(config, RATE) if player == "projected" else config, variables)
            for player, variables in self.learnt.items()
        }
        for network in (networks.generator, networks.discriminator):
            devices.convolve_in(config.precision, network)
        self.dropouts = [
            layer.seed_generator
            for layer in networks.discriminator.layers
            if isinstance(layer, keras.layers.Dropout)
        ]
        if self.replicas > 1:
            devices.normalise_together(networks.generator)
        self.compiled = self.compile()

    def parts(self) -> dict[str, keras.optimizers.Optimizer]:
        """Name the optimizers as checkpoints do."""
        return {f"{player}_optimizer": optimizer for player, optimizer in self.optimizers.items()}

    def move(self, player: str, slopes: list[tf.Tensor]) -> None:
        """Take a player's variables down a gradient."""
        self.optimizers[player].apply(slopes, self.learnt[player])

    def __call__(
        self,
        cards: tf.Tensor,
        labels: tf.Tensor,
        first: int,
        probability: float = 0.0,
        strength: float = 1.0,
    ) -> Metrics:
        """Take one step for each batch, and return the metrics' means.

        Cards are uint8 (steps, batch, height, width, 3), labels int32 (steps, batch); `first` is the index of
        the first step, `probability` that of an augmentation, `strength` a factor of the gradient penalties.
        Nothing here waits for the device.
        """
        first_, moving = tf.constant(first, tf.int64), (tf.constant(probability), tf.constant(strength))
        return self.compiled(cards, labels, first_, *moving)

    def compile(self) -> Callable[..., Metrics]:
        """Return the loop over batches as one graph.

        XLA stays out of it: on a GPU it took more than a minute to compile a slower step (LOG.md).
        """
        config = self.config

        def several(cards: tf.Tensor, labels: tf.Tensor, first: tf.Tensor, *moving: tf.Tensor) -> Metrics:
            def body(i: tf.Tensor, total: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
                row = tf.cast(i, tf.int32)
                taken = self.strategy.run(self.step, (cards[row], labels[row], first + i, *moving))
                return i + 1, total + self.strategy.reduce(tf.distribute.ReduceOp.MEAN, taken, axis=None)

            steps = tf.shape(cards, tf.int64)[0]
            start = (tf.constant(0, tf.int64), tf.zeros(len(METRICS)))
            _, total = tf.while_loop(lambda i, total: i < steps, body, start)
            return dict(zip(METRICS, tf.unstack(total / tf.cast(steps, tf.float32)), strict=True))

        shape = (None, config.batch, config.height, config.width, 3)
        signature = (
            tf.TensorSpec(shape, tf.uint8),
            tf.TensorSpec(shape[:2], tf.int32),
            tf.TensorSpec((), tf.int64),
            tf.TensorSpec((), tf.float32),
            tf.TensorSpec((), tf.float32),
        )
        return tf.function(several, signature, autograph=False)

    def step(self, cards: tf.Tensor, labels: tf.Tensor, index: tf.Tensor, *moving: tf.Tensor) -> tf.Tensor:
        """Move the discriminator, then the generator, then its average; return METRICS in their order."""
        seeds = tf.random.split(tf.random.fold_in(tf.constant([self.config.seed, 0]), index))
        replica = Replica(self.config.batch, self.replicas)
        probability, strength = moving
        strength *= easing(self.config, index)
        turn = Turn(replica, replica.own(to_unit(cards)), replica.own(labels), index, probability, strength)
        self.rewind_dropout(index)
        metrics = self.discriminator_step(turn, seeds[0]) | self.generator_step(turn, seeds[1])
        follow(self.networks, averaging_rate(self.config, index))
        return tf.stack([metrics[name] for name in METRICS])

    def rewind_dropout(self, index: tf.Tensor) -> None:
        """Have dropout draw what it would in an unbroken run: it counts its draws, and no checkpoint does."""
        draws = 3 - self.config.mixed_batch + self.loss.generator_sees_real  # of a step
        for dropout in self.dropouts:
            dropout.state.assign([self.config.seed, draws * index])

    def discriminator_step(self, turn: Turn, seed: tf.Tensor) -> Metrics:
        """Teach the discriminator to tell real cards from fakes."""
        fake_seed, judge_seed, negative_seed, projected_seed = tf.unstack(tf.random.split(seed, 4))
        fake = self.fakes(turn, fake_seed, training=not self.config.predicted_fakes)
        projected_loss = tf.constant(0.0)
        if self.networks.projected:
            projected_loss = self.projected_step(turn, fake, projected_seed)
        fake = self.with_negatives(turn, fake, negative_seed)
        every = self.config.r1_every

        def gradients(weight: int) -> tuple[list[tf.Tensor], Metrics]:
            return self.discriminator_gradients(turn, fake, judge_seed, weight)

        if every == 1:
            slopes, metrics = gradients(1)
        else:
            slopes, metrics = tf.cond(turn.index % every == 0, lambda: gradients(every), lambda: gradients(0))
        self.move("discriminator", slopes)
        real = {"d_gradient": self.length(slopes)} | vitals.of_real(turn.real)
        return metrics | {"projected_loss": projected_loss} | real

    def discriminator_gradients(
        self, turn: Turn, fake: tf.Tensor, seed: tf.Tensor, weight: int
    ) -> tuple[list[tf.Tensor], Metrics]:
        """Return the gradients of the discriminator's loss and of `weight` times its penalty, and metrics."""
        with tf.GradientTape() as tape:
            with tf.GradientTape(persistent=True) as inputs:
                inputs.watch([turn.real, fake])
                real_logits, fake_logits = self.judge_both(turn, fake, seed)
            adversarial = self.loss.discriminator(real_logits, fake_logits)
            penalty = tf.constant(0.0)
            if weight and self.config.r1:
                slope = inputs.gradient(real_logits, turn.real)
                penalty += weight * turn.strength * self.config.r1 / 2 * gradient_penalty(slope)
            if weight and self.config.r2:
                slope = inputs.gradient(fake_logits, fake)
                penalty += weight * turn.strength * self.config.r2 / 2 * gradient_penalty(slope)
            total = self.shared(adversarial + penalty)
        told = tf.cast(fake_logits < 0, tf.float32)
        pairs = tf.cast(real_logits[:, None] > fake_logits[None], tf.float32)
        return tape.gradient(total, self.learnt["discriminator"]), {
            "d_loss": adversarial,
            "penalty": penalty,
            "real_accuracy": tf.reduce_mean(tf.cast(real_logits > 0, tf.float32)),
            "fake_accuracy": self.mean_of_generated(turn, told),
            "relativistic_accuracy": tf.reduce_mean(self.mean_of_generated(turn, pairs)),
            "real_logit": tf.reduce_mean(real_logits),
            "fake_logit": self.mean_of_generated(turn, fake_logits),
        }

    def projected_step(self, turn: Turn, fake: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Teach the projected discriminator by hinge loss, and return it: 2 is full confusion."""
        assert self.networks.projected
        real_seed, fake_seed = tf.unstack(tf.random.split(seed))
        both = [self.looked_at(turn, turn.real, real_seed), self.looked_at(turn, fake, fake_seed)]
        with tf.GradientTape() as tape:
            real_logits, fake_logits = tf.split(self.networks.projected(tf.concat(both, 0)), 2)
            loss = LOSSES["hinge"].discriminator(real_logits, fake_logits)
            total = self.shared(loss)
        self.move("projected", tape.gradient(total, self.learnt["projected"]))
        return loss

    def generator_step(self, turn: Turn, seed: tf.Tensor) -> Metrics:
        """Teach the generator to be taken for real, with fresh noise and fresh augmentation."""
        noise_seed, fake_seed, real_seed, projected_seed = tf.unstack(tf.random.split(seed, 4))
        real_logits = tf.zeros(turn.replica.rows)
        if self.loss.generator_sees_real:
            real_logits = self.judge(turn, turn.real, real_seed)
        with tf.GradientTape() as tape:
            fake = self.fakes(turn, noise_seed, training=True)
            total = loss = self.loss.generator(real_logits, self.judge(turn, fake, fake_seed))
            if self.networks.projected:
                logits = self.networks.projected(self.looked_at(turn, fake, projected_seed))
                total += self.config.projected * LOSSES["hinge"].generator(tf.zeros_like(logits), logits)
            total = self.shared(total)
        slopes = tape.gradient(total, self.learnt["generator"])
        self.move("generator", slopes)
        return {"g_loss": loss, "g_gradient": self.length(slopes)} | vitals.of_fake(fake)

    def shared(self, loss: tf.Tensor) -> tf.Tensor:
        """Return this replica's part of the loss: Keras' optimizers add up the replicas' gradients."""
        return loss / self.replicas if self.replicas > 1 else loss

    def length(self, slopes: list[tf.Tensor]) -> tf.Tensor:
        """Return the norm of a gradient of `shared`: of this replica's own loss, whatever others have."""
        return self.replicas * tf.linalg.global_norm(slopes)

    def fakes(self, turn: Turn, seed: tf.Tensor, training: bool) -> tf.Tensor:
        """Draw cards (rows, height, width, 3) in [-1, 1], of the kinds that the real ones are."""
        noise = tf.random.stateless_normal((self.config.batch, self.config.noise_size), seed)
        return answer(self.networks.generator, turn.replica.own(noise), turn.labels, training)

    def with_negatives(self, turn: Turn, fake: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Put pictures that are no cards in the place of the batch's last fakes."""
        if not self.config.negatives:
            return fake
        generated = self.config.batch - self.config.negatives
        others = negatives(turn.replica.placed(turn.real)[generated:], seed)
        return turn.replica.own(tf.concat([turn.replica.placed(fake)[:generated], others], 0))

    def mean_of_generated(self, turn: Turn, values: tf.Tensor) -> tf.Tensor:
        """Return this replica's part of a mean over what the generator drew of the discriminator's fakes.

        `values` are (..., rows). The mean of the replicas' parts is that over the whole batch, though the
        last replica has fewer cards that were drawn, or none.
        """
        generated = self.config.batch - self.config.negatives
        drawn = turn.replica.own(tf.range(self.config.batch) < generated)
        return tf.reduce_sum(tf.where(drawn, values, 0.0), axis=-1) / (generated / self.replicas)

    def judge_both(self, turn: Turn, fake: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Judge real cards and fakes, in passes of their own unless the recipe mixes them."""
        real_seed, fake_seed = tf.unstack(tf.random.split(seed))
        if not self.config.mixed_batch:
            return self.judge(turn, turn.real, real_seed), self.judge(turn, fake, fake_seed)
        both = tf.concat([self.seen(turn, turn.real, real_seed), self.seen(turn, fake, fake_seed)], 0)
        labels = tf.tile(turn.labels, [2])
        real_logits, fake_logits = tf.split(answer(self.networks.discriminator, both, labels, True), 2)
        return real_logits, fake_logits

    def judge(self, turn: Turn, cards: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Return the logits (rows,) of cards as the discriminator sees them: augmented."""
        return answer(self.networks.discriminator, self.seen(turn, cards, seed), turn.labels, training=True)

    def looked_at(self, turn: Turn, cards: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Return those cards of this replica's that the projected discriminator sees: changed, some close."""
        change_seed, zoom_seed = tf.unstack(tf.random.split(seed))
        changed = augment(turn.replica.placed(cards), AUGMENT, change_seed)
        return turn.replica.own(zoom(changed, zoom_seed))[:: self.config.projected_every]

    def seen(self, turn: Turn, cards: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Return this replica's cards as the discriminator sees them."""
        if self.config.augment == 0:
            return cards
        # As the whole batch would be augmented, whatever the number of replicas.
        return turn.replica.own(augment(turn.replica.placed(cards), turn.probability, seed))


def adam(config: Config, variables: list[keras.Variable]) -> keras.optimizers.Optimizer:
    """Return an optimizer built for these variables, so that tracing the step creates none."""
    rate: Any = learning_rate(config)  # Keras' own annotation knows numbers only
    optimizer = keras.optimizers.Adam(rate, config.beta_1, config.beta_2, epsilon=1e-8)
    optimizer.build(variables)
    return optimizer


def thawed(discriminator: keras.Model, frozen: int) -> list[keras.Variable]:
    """Return what the discriminator may learn: all but its first `frozen` convolutions (Mo 2020, FreezeD).

    Keras' own flag, `trainable`, also decides what a tape watches, and is left alone.
    """
    convolutions = devices.convolutions(discriminator)
    if frozen and frozen >= len(convolutions):
        raise BadConfig(
            f"--freeze {frozen} would fix all of this discriminator's {len(convolutions)} convolutions, and "
            f"it could hardly learn. Give --freeze {len(convolutions) - 1} or less."
        )
    kept = {id(variable) for layer in convolutions[:frozen] for variable in layer.trainable_variables}
    return [variable for variable in discriminator.trainable_variables if id(variable) not in kept]


def averaging_rate(config: Config, index: tf.Tensor) -> tf.Tensor:
    """Return how much of the generator enters its average at this step.

    The half-life is a twentieth of the images seen, up to config.average_half_life. From trained weights it
    has no such ramp, as in StyleGAN2-ADA (Karras 2020): it is a twentieth of all the run's images from the
    first on, so that a short run too has left them behind at its end.
    """
    if config.average_half_life == 0:
        return tf.constant(1.0)
    seen = tf.cast(index + 1, tf.float32) * config.batch if config.average_ramp else float(config.images)
    half_life = tf.minimum(seen / 20, float(config.average_half_life))
    return 1.0 - 0.5 ** (config.batch / half_life)


def follow(networks: Networks, rate: tf.Tensor) -> None:
    """Move the average towards the generator, its normalisation statistics included."""
    for mean, weight in zip(networks.average.weights, networks.generator.weights, strict=True):
        mean.assign_add(rate * (weight - mean))
