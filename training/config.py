"""Every number of a run. A preset is a function that returns a Config; variation changes its fields."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Literal

from training.trouble import Trouble

NetworksName = Literal["dcgan", "posted"]
LossName = Literal["non_saturating", "relativistic", "hinge", "posted"]


class BadConfig(Trouble):
    """These numbers cannot be trained with; the message says which and why."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """One training run; what it does follows from these fields, the data and nothing else."""

    preset: str
    height: int
    """Of a card, in pixels; the network's own size."""
    width: int

    networks: NetworksName
    noise_size: int
    channels: tuple[int, ...] = ()
    """Generator's feature maps from the lowest resolution up; the discriminator mirrors them."""
    classes: tuple[str, ...] = ()
    """Names of the kinds of card, in the order of their labels; none trains without labels."""

    loss: LossName
    r1: float
    """Gamma of the gradient penalty on real cards, gamma/2 times the squared norm; 0 leaves it out."""
    r2: float = 0.0
    """The same on generated cards."""
    augment: float | None = None
    """Probability of each augmentation for each card, in [0, 1]; None chooses by the number of cards."""
    negatives: int = 0
    """How many of the discriminator's fakes in a batch are pictures that are no cards."""
    mixed_batch: bool = False
    """Judge real and generated cards in one pass of the discriminator, as the posted loop did."""
    predicted_fakes: bool = False
    """Draw the discriminator's fakes in inference mode, as the posted loop did with generator.predict."""

    learning_rate: float
    beta_1: float
    beta_2: float
    average_half_life: int
    """Images after which an old generator weighs half in the moving average; 0 exports the raw generator."""

    batch: int
    images: int
    """Real images to show before the run is over."""
    seed: int = 0
    sample_every: int = 10_000
    """Images between two sample grids."""
    checkpoint_every: int = 10_000
    """Images between two checkpoints."""

    def __post_init__(self) -> None:
        """Refuse what cannot be trained, before anything is built."""
        if self.batch < 2:
            raise BadConfig(f"batch is {self.batch}; it needs to be 2 or more.")
        if not 0 <= self.negatives < self.batch:
            raise BadConfig(
                f"negatives is {self.negatives}; a batch of {self.batch} needs generated cards too."
            )
        if self.images < self.batch:
            raise BadConfig(f"images is {self.images}; show at least one batch of {self.batch}.")
        if not 0 <= self.seed < 2**31:
            raise BadConfig(f"seed is {self.seed}; it is a whole number from 0 to {2**31 - 1}.")
        if self.augment is not None and not 0 <= self.augment <= 1:
            raise BadConfig(f"augment is {self.augment}; it is a probability between 0 and 1.")
        if self.networks == "posted" and (self.height, self.width) != (64, 64):
            raise BadConfig(
                f"The posted networks draw 64x64; these cards are {self.width}x{self.height}. "
                "Prepare the folder with --size 64x64."
            )
        if self.networks == "posted" and self.classes:
            raise BadConfig(
                "The posted networks know no labels. Choose another preset, or leave out --labels."
            )
        if len(self.classes) == 1:
            raise BadConfig(f"There is one class, {self.classes[0]}; labels need two or more.")
        if self.networks == "dcgan":
            self.base_grid()

    def base_grid(self) -> tuple[int, int]:
        """Return (height, width) of the lowest resolution: one halving for each of `channels`."""
        scale = 2 ** len(self.channels)
        if self.height % scale or self.width % scale:
            raise BadConfig(
                f"{self.width}x{self.height} cannot be halved {len(self.channels)} times. "
                f"Prepare the folder with sides in multiples of {scale}, such as {5 * scale}x{7 * scale}."
            )
        return self.height // scale, self.width // scale

    def to_json(self) -> str:
        """Write every field."""
        return json.dumps(asdict(self), indent=2)


def from_json(text: str) -> Config:
    """Read what to_json wrote."""
    fields = json.loads(text)
    lists = {name: tuple(value) for name, value in fields.items() if isinstance(value, list)}
    return Config(**{**fields, **lists})


def dcgan_r1(height: int, width: int) -> Config:
    """Build the repaired DCGAN: recognisable cards within minutes on a CPU, and stable.

    Logits in place of a sigmoid, R1 (Mescheder 2018), 4x4 kernels at stride 2, batch normalisation in all
    of the generator and none of the discriminator, separate passes, an averaged generator, and negatives,
    so that the discriminator also knows what is no card.
    """
    return Config(
        preset="dcgan-r1",
        height=height,
        width=width,
        networks="dcgan",
        noise_size=128,
        channels=(192, 128, 64, 32) if min(height, width) >= 64 else (192, 96, 48),
        loss="non_saturating",
        r1=height * width / 400,  # 10 at 64x64: the norm sums over pixels
        negatives=2,
        learning_rate=5e-4,
        beta_1=0.5,
        beta_2=0.99,
        average_half_life=10_000,
        batch=32,
        images=100_000,
    )


def seed(height: int, width: int) -> Config:
    """Build the question's recipe as posted, so that its failure can be reproduced.

    Its discriminator is really trained, as Keras 2 did; in Keras 3 the posted code never trains it.
    The posted batch was 256.
    """
    return Config(
        preset="seed",
        height=height,
        width=width,
        networks="posted",
        noise_size=100,
        loss="posted",
        r1=0.0,
        augment=0.0,
        mixed_batch=True,
        predicted_fakes=True,
        learning_rate=2e-4,
        beta_1=0.5,
        beta_2=0.999,
        average_half_life=0,
        batch=256,
        images=100_000,
    )


def tiny(height: int, width: int) -> Config:
    """Build a run of seconds, for tests and for a first look."""
    return replace(
        dcgan_r1(height, width),
        preset="tiny",
        channels=(16, 12, 8),
        noise_size=16,
        batch=8,
        negatives=1,
        images=64,
    )


PRESETS: dict[str, Callable[[int, int], Config]] = {"dcgan-r1": dcgan_r1, "seed": seed, "tiny": tiny}
DEFAULT = "dcgan-r1"


def configure(preset: str, height: int, width: int, **changes: object) -> Config:
    """Build a preset for cards of this size and change some of its fields. Raises BadConfig."""
    if preset not in PRESETS:
        raise BadConfig(f"There is no preset {preset!r}. Choose one of: {', '.join(PRESETS)}.")
    return replace(PRESETS[preset](height, width), **changes)
