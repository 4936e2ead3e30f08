"""Prints the numbers that training/ANSWERS.md quotes: a small experiment behind each answer.

python -m tests.benchmarks.answers [bias range frozen logits weaker penalty]
"""

import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from serving.cards import fit
from training.config import Config
from training.cost import cost
from training.losses import LOSSES
from training.models import Networks, discriminator, generator, to_unit
from training.presets import configure
from training.sample_cards.cards import draw_card
from training.step import Step

CARDS = 200
PLAIN: Any = {"jit_compile": False}  # on a CPU XLA compiles the posted networks for minutes
STARTER = Path("serving/models/generator")


def main() -> None:
    for name in sys.argv[1:] or ANSWERS:
        print(f"\n{name}")
        for line in ANSWERS[name]():
            print(f"  {line}", flush=True)


def sample_cards(height: int, width: int, count: int = CARDS) -> np.ndarray:
    """Return sample cards uint8 (count, height, width, 3)."""
    return np.stack([fit(np.asarray(draw_card(0, index)), height, width) for index in range(count)])


def posted(**changes: Any) -> Config:
    return configure("seed", 64, 64, **changes)


def normal(rows: int, columns: int = 100, seed: int = 0) -> tf.Tensor:
    return tf.random.stateless_normal((rows, columns), [seed, 0])


# Why use_bias=False?


def bias() -> Iterator[str]:
    """Give every layer of the posted generator a bias, and compare what its biases and kernels are taught."""
    for layer, normed, kernel, own in bias_gradients():
        follows = "batch norm follows" if normed else "no norm follows"
        yield f"{layer}, {follows}: largest gradient of a bias {own:.0e}, of a kernel weight {kernel:.0e}"


def bias_gradients() -> Iterator[tuple[str, bool, float, float]]:
    """Yield of each layer: name, whether a norm follows, largest gradients of its kernel and of its bias."""
    drawing, judging = biased(generator(posted())), discriminator(posted())
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.nn.softplus(-judging(drawing(normal(32), training=True))))
    weighing = [layer for layer in drawing.layers if hasattr(layer, "kernel")]
    slopes = tape.gradient(loss, [(layer.kernel, layer.bias) for layer in weighing])
    for layer, (kernel, own) in zip(weighing, slopes, strict=True):
        after = drawing.layers[drawing.layers.index(layer) + 1 :][:1]
        normed = any(isinstance(other, layers.BatchNormalization) for other in after)
        yield layer.name, normed, largest(kernel), largest(own)


def biased(network: keras.Model) -> keras.Model:
    """Return a network like this one, every layer of which has a bias."""

    def copy(layer: layers.Layer) -> layers.Layer:
        settings = layer.get_config()
        return layer.from_config(settings | {"use_bias": True} if "use_bias" in settings else settings)

    return keras.models.clone_model(network, clone_function=copy)


def largest(values: Any) -> float:
    return float(np.abs(values).max())


# Why tanh?


def pixel_range() -> Iterator[str]:
    """Tell real cards from those of a perfect generator, which are real cards, by the mean of the pixels."""
    cards = to_unit(sample_cards(64, 64)).numpy()
    real, perfect = cards[::2], cards[1::2]
    for name, seen in (("[-1, 1]", real), ("[0, 1]", (real + 1) / 2)):
        share = separated(seen, perfect)
        yield f"real cards in {name}, perfect fakes in [-1, 1]: one threshold tells {share:.1%} right"


def separated(real: np.ndarray, fake: np.ndarray) -> float:
    """Choose a threshold of the mean pixel on half of the cards; return the share right of the rest."""
    means = [cards.mean(axis=(1, 2, 3)) for cards in (real, fake)]
    learnt, asked = ([rows[half::2] for rows in means] for half in (0, 1))

    def right(rule: tuple[float, float], rows: list[np.ndarray]) -> float:
        threshold, sign = rule
        return float(np.mean([sign * (rows[0] - threshold) > 0, sign * (rows[1] - threshold) <= 0]))

    rules = [(threshold, sign) for threshold in np.concatenate(learnt) for sign in (1.0, -1.0)]
    return right(max(rules, key=lambda rule: right(rule, learnt)), asked)


# Why trainable=False, and what does it do in Keras 3?


class Moves(NamedTuple):
    """By how much the weights moved at the most, in the steps of either model."""

    discriminator: float  # in its own steps
    frozen: float  # the discriminator in the generator's steps
    generator: float


class Game:
    """The posted networks and their two compiled models."""

    def __init__(self) -> None:
        logits = discriminator(posted())
        self.discriminator = keras.Sequential([logits, layers.Activation("sigmoid")])
        self.generator = generator(posted())
        compiled(self.discriminator, metrics=["accuracy"])
        self.gan = keras.Sequential([self.generator, self.discriminator])

    def freeze(self) -> None:
        """Freeze the discriminator and compile the stacked model, as posted."""
        self.discriminator.trainable = False
        compiled(self.gan)

    def teach(self, batch: int) -> None:
        """Take the discriminator's step."""
        cards = np.random.default_rng(0).uniform(-1, 1, (batch, 64, 64, 3))
        fakes = self.generator(normal(batch)).numpy()
        labels = np.concatenate([np.ones((batch, 1)), np.zeros((batch, 1))])
        self.discriminator.train_on_batch(np.concatenate([cards, fakes]), labels)

    def fool(self, batch: int) -> None:
        """Take the generator's step."""
        self.gan.train_on_batch(normal(batch).numpy(), np.ones((batch, 1)))

    def play(self, steps: int = 3, batch: int = 4, toggle: bool = False) -> Moves:
        """Play as posted, or turning the flag on and off around each step."""
        moves = Moves(0.0, 0.0, 0.0)
        for _ in range(steps):
            states = [self.weights()]
            for trainable, step in ((True, self.teach), (False, self.fool)):
                if toggle:
                    self.discriminator.trainable = trainable
                step(batch)
                states.append(self.weights())
            (d0, _), (d1, g1), (d2, g2) = states
            step_moves = distance(d0, d1), distance(d1, d2), distance(g1, g2)
            moves = Moves(*map(max, moves, step_moves))
        return moves

    def weights(self) -> tuple[list[np.ndarray], list[np.ndarray]]:
        learnt = [variable.numpy() for variable in self.generator.trainable_variables]
        return self.discriminator.get_weights(), learnt


def distance(before: list[np.ndarray], after: list[np.ndarray]) -> float:
    return max(largest(one - other) for one, other in zip(before, after, strict=True))


def compiled(model: keras.Model, **options: Any) -> None:
    adam = keras.optimizers.Adam(learning_rate=2e-4, beta_1=0.5)
    model.compile(loss="binary_crossentropy", optimizer=adam, **PLAIN, **options)


def as_posted(game: Game) -> Moves:
    game.freeze()
    return game.play()


def one_step_before(game: Game) -> Moves:
    game.teach(4)
    game.freeze()
    return game.play()


def another_batch(game: Game) -> Moves:
    one_step_before(game)
    return game.play(batch=3)


def toggled(game: Game) -> Moves:
    game.freeze()
    return game.play(toggle=True)


PATTERNS: dict[str, Callable[[Game], Moves]] = {
    "as posted": as_posted,
    "one discriminator step before it is frozen": one_step_before,
    "the same, then batches of another size": another_batch,
    "the flag turned on and off around each step": toggled,
}


def frozen() -> Iterator[str]:
    """Play the posted pattern and ways around it, and see which weights move."""
    yield f"Keras {keras.__version__}; largest change of any weight:"
    for name, pattern in PATTERNS.items():
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            moves = pattern(Game())
        told = any("trainable weights" in str(warning.message) for warning in said)
        yield (
            f"{name}: discriminator {moves.discriminator:.0e} in its own steps, {moves.frozen:.0e} in the "
            f"generator's; generator {moves.generator:.0e}{'; a warning' if told else ''}"
        )


# Sigmoid and cross-entropy: is the gradient lost?


def logits() -> Iterator[str]:
    """Ask Keras, and a loss from clipped probabilities, for the gradient of a confident wrong answer."""
    for logit in (-10.0, -20.0):
        yield (
            f"logit {logit:g} where 1 is right: gradient {keras_gradient(logit):.2f} from Keras' "
            f"sigmoid layer, {clipped_gradient(logit):.2f} from the probability, clipped"
        )


def keras_gradient(logit: float) -> float:
    """Return what one step of rate 1 takes from the bias of a sigmoid layer, compiled with cross-entropy."""
    start: Any = {"bias_initializer": keras.initializers.Constant(logit)}
    dense = layers.Dense(1, activation="sigmoid", **start)
    model = keras.Sequential([keras.Input((1,)), dense])
    model.compile(loss="binary_crossentropy", optimizer=keras.optimizers.SGD(1.0), **PLAIN)
    model.train_on_batch(np.zeros((4, 1)), np.ones((4, 1)))
    return logit - float(model.get_weights()[1][0])


def clipped_gradient(logit: float) -> float:
    """Return the gradient of the loss that a hand-written cross-entropy of the probability gives."""
    value = tf.Variable([logit])
    with tf.GradientTape() as tape:
        loss = LOSSES["probabilities"].generator(value, value)
    return float(tape.gradient(loss, value)[0])


# Why does the weaker discriminator win?


def weaker() -> Iterator[str]:
    """Compare the posted networks, then let a very small discriminator judge the starter generator."""
    both = cost(posted())
    for name in ("generator", "discriminator"):
        parameters, gmac = getattr(both, f"{name}_parameters"), getattr(both, f"{name}_gmac")
        yield f"{name}: {parameters:,} parameters, {gmac:.3f} GMAC a card"
    drawn = starter_cards()
    real = sample_cards(*drawn.shape[1:3])
    small = small_discriminator(*drawn.shape[1:3])
    share = learnt(small, real, drawn)
    yield f"a discriminator of {small.count_params():,} parameters tells {share:.1%} of unseen cards right"
    yield f"  (starter generator against sample cards, {CARDS} of each, half of them to learn from)"


def starter_cards() -> np.ndarray:
    """Return cards uint8 (CARDS, height, width, 3) of the generator that ships."""
    (version,) = STARTER.iterdir()
    generate = tf.saved_model.load(str(version)).signatures["generate"]
    width = generate.structured_input_signature[1]["noise"].shape[1]
    return np.concatenate([generate(noise=part)["cards"] for part in tf.split(normal(CARDS, width), 8)])


def small_discriminator(height: int, width: int) -> keras.Model:
    """Three convolutions of eight maps and a mean: it cannot see what a card shows, only its texture."""
    keras.utils.set_random_seed(0)
    convolutions = [layers.Conv2D(8, 4, 2, "same", activation="leaky_relu") for _ in range(3)]
    end = [layers.GlobalAveragePooling2D(), layers.Dense(1)]
    return keras.Sequential([keras.Input((height, width, 3)), *convolutions, *end])


def learnt(judge: keras.Model, real: np.ndarray, fake: np.ndarray, epochs: int = 40) -> float:
    """Teach it on every other card; return the share of the rest that it tells right."""
    cards = to_unit(np.concatenate([real, fake])).numpy()
    labels = np.repeat([1.0, 0.0], [len(real), len(fake)])[:, None]
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    judge.compile(loss=loss, optimizer=keras.optimizers.Adam(3e-3), **PLAIN)
    quiet: Any = {"verbose": 0}
    judge.fit(cards[::2], labels[::2], batch_size=20, epochs=epochs, **quiet)
    logits = judge(cards[1::2]).numpy()
    return float(np.mean((logits > 0) == (labels[1::2] > 0.5)))


# What does a gradient penalty do?


def penalty(steps: int = 40, batch: int = 16) -> Iterator[str]:
    """Train the posted networks with and without R1, and look at what the generator is told."""
    cards = sample_cards(64, 64)
    for r1 in (0.0, 5.0):
        config = posted(batch=batch, mixed_batch=False, predicted_fakes=False, r1=r1)
        networks = Networks.build(config)
        step, random = Step(config, networks), np.random.default_rng(0)
        losses = []
        for index in range(steps):
            rows = random.choice(len(cards), batch, replace=False)
            losses.append(step(cards[rows][None], np.zeros((1, batch), np.int32), index)["d_loss"])
        size, agreement = told_to_the_generator(networks)
        yield (
            f"R1 {r1:g}, {steps * batch:,} images: discriminator's loss {np.mean(losses[-10:]):.4f}; "
            f"its gradient at a fake {size:.2f} long, cosine to that at a near card {agreement:.2f}"
        )


def told_to_the_generator(networks: Networks, count: int = 32, noise: float = 0.1) -> tuple[float, float]:
    """Return the mean length of d logit / d fake, and its mean cosine to that of the fake with noise."""
    fakes = networks.generator(normal(count, seed=1), training=True)
    near = fakes + noise * tf.random.stateless_normal(fakes.shape, [2, 2])
    here, there = (slope(networks.discriminator, cards) for cards in (fakes, near))
    lengths = [np.linalg.norm(rows, axis=1) for rows in (here, there)]
    cosines = (here * there).sum(axis=1) / (lengths[0] * lengths[1])
    return float(lengths[0].mean()), float(cosines.mean())


def slope(judge: keras.Model, cards: tf.Tensor) -> np.ndarray:
    """Return d logit / d card as rows (n, pixels)."""
    with tf.GradientTape() as tape:
        tape.watch(cards)
        total = tf.reduce_sum(judge(cards, training=False))
    return tf.reshape(tape.gradient(total, cards), (len(cards), -1)).numpy()


ANSWERS: dict[str, Callable[[], Iterator[str]]] = {
    "bias": bias,
    "range": pixel_range,
    "frozen": frozen,
    "logits": logits,
    "weaker": weaker,
    "penalty": penalty,
}

if __name__ == "__main__":
    main()
