"""Every number of a run."""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from itertools import count
from typing import Literal

from training.trouble import Trouble

NetworksName = Literal["dcgan", "residual", "posted"]
LossName = Literal["non_saturating", "relativistic", "hinge", "posted", "probabilities"]

CONFUSED: Mapping[LossName, float] = {
    "non_saturating": 1.386,
    "relativistic": 0.693,
    "hinge": 2.0,
    "posted": 0.693,
    "probabilities": 0.693,
}
"""The discriminator's loss where it cannot tell real from fake: once or twice ln 2, or both margins."""

DoctorName = Literal["off", "watch", "act"]
TreatmentName = Literal["raise-r1", "raise-augment", "roll-back", "stop"]

# Fields that are whole numbers from 1 on, or None.
COUNTS = (
    "r1_every",
    "steps_per_call",
    "sample_every",
    "checkpoint_every",
    "steer_every",
    "examine_every",
)

LAYERS, PLAYERS = 1000, 3  # seeds set aside: for the layers of one network, for the networks of one run


RESIDENT = 2**29
"""Bytes of cards that a run keeps in memory; of more, rows are read from their file."""

MOST_IMAGES = 10**12
"""Ten years of the fastest GPU there is."""


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
    upsampling: Literal["transposed", "nearest"] = "transposed"
    """How a DCGAN's generator doubles the sides of its maps: in a convolution, or before one."""
    spectral_norm: bool = False
    """Hold each convolution of a DCGAN's discriminator to a largest singular value of 1."""
    classes: tuple[str, ...] = ()
    """Names of the kinds of card, in the order of their labels; none trains without labels."""

    loss: LossName
    r1: float
    """Gamma of the gradient penalty on real cards, gamma/2 times the squared norm; 0 leaves it out."""
    r2: float = 0.0
    """The same on generated cards."""
    final_penalty: float = 1.0
    """What a cosine brings both penalties to by the end of the run, as a share of r1 and r2."""
    r1_every: int = 1
    """Steps from one penalty to the next, each weighing that many times more (lazy regularisation)."""
    projected: float = 0.0
    """Weight of a second discriminator, on frozen image features, for the generator; 0 trains without it."""
    projected_every: int = 1
    """Of so many cards of a batch that discriminator looks at one: it costs more than all else."""
    augment: float | Literal["adaptive"] | None = None
    """Probability of each augmentation for each card, in [0, 1].

    "adaptive" moves it by how much better the discriminator knows its own cards than held-out ones, and is
    what None becomes.
    """
    augment_from: float | None = None
    """Where an adaptive probability begins; None chooses by the number of cards."""
    negatives: int = 0
    """How many of the discriminator's fakes in a batch are pictures that are no cards."""
    mixed_batch: bool = False
    """Judge real and generated cards in one pass of the discriminator, as the posted loop did."""
    predicted_fakes: bool = False
    """Draw the discriminator's fakes in inference mode, as the posted loop did with generator.predict."""

    learning_rate: float
    final_learning_rate: float | None = None
    """What a cosine brings the learning rate to by the end of the run; None keeps it as it is."""
    beta_1: float
    beta_2: float
    average_half_life: int
    """Images after which an old generator weighs half in the moving average; 0 exports the raw generator."""
    average_ramp: bool = True
    """Have the half-life grow with the images seen: a run from trained weights has no bad start to forget."""

    frozen: int = 0
    """How many of the discriminator's first convolutions stay as they are, for transfer."""
    precision: Literal["float32", "bfloat16"] | None = None
    """What convolutions compute in; all else is float32. None chooses by the device."""
    steps_per_call: int | None = None
    """Steps that the device takes without waiting for Python; None chooses by the device."""

    batch: int
    images: int
    """Real images to show before the run is over."""
    seed: int = 0
    doctor: DoctorName = "act"
    """Whether the run's troubles are named (watch) and, where that can be done, treated (act)."""
    without: tuple[TreatmentName, ...] = ()
    """Treatments that are not to be tried."""
    sample_every: int = 10_000
    """Images between two sample grids."""
    checkpoint_every: int = 10_000
    """Images between two checkpoints."""
    checkpoint_minutes: float = 10.0
    """Minutes after which there is one at the next line of the log, however few images these were."""
    evaluate_every: int = 50_000
    """Images between two evaluations, which also decide which checkpoint is the best; 0 makes none."""
    steer_every: int = 2_000
    """Images between two looks at what the discriminator learns by heart."""
    examine_every: int = 4_000
    """Images between two looks of the doctor at generated cards."""

    def __post_init__(self) -> None:
        """Refuse what cannot be trained, before anything is built."""
        self.refuse_numbers()
        self.refuse_networks()

    def refuse_numbers(self) -> None:
        """Raise BadConfig for a number outside its range."""
        for name, value in vars(self).items():
            if isinstance(value, float) and not math.isfinite(value):
                raise BadConfig(f"{name} is {value}; it needs to be a finite number.")
        ranges: dict[str, tuple[float, float, str]] = {
            "batch": (2, math.inf, "2 or more"),
            "negatives": (0, self.batch - 1, f"0 to {self.batch - 1}: a batch needs generated cards too"),
            "images": (self.batch, MOST_IMAGES, f"at least one batch, {self.batch}, at most {MOST_IMAGES:,}"),
            "seed": (0, 2**31 - 1, f"a whole number from 0 to {2**31 - 1}"),
            "augment": (0, 1, "a probability between 0 and 1, or adaptive"),
            "projected": (0, math.inf, "a weight, 0 or more"),
            "projected_every": (1, self.batch, f"a number of cards, 1 to the batch's {self.batch}"),
            "final_penalty": (0, 1, "a share between 0 and 1"),
            "frozen": (0, math.inf, "a number of convolutions, 0 or more"),
            "checkpoint_minutes": (0, math.inf, "0 or more"),
            **dict.fromkeys(COUNTS, (1, math.inf, "1 or more")),
        }
        for name, (least, most, wanted) in ranges.items():
            value = getattr(self, name)
            if isinstance(value, int | float) and not least <= value <= most:
                option = "freeze" if name == "frozen" else name
                raise BadConfig(f"{option} is {value}; it needs to be {wanted}.")

    def refuse_networks(self) -> None:
        """Raise BadConfig where the networks cannot draw such cards, or know no kinds."""
        if self.networks == "posted" and (self.height, self.width) != (64, 64):
            raise BadConfig(
                f"--preset {self.preset} draws cards of 64x64 and no others; these are "
                f"{self.width}x{self.height}. Prepare the pictures again with --size 64x64, or choose "
                "another preset."
            )
        if self.networks == "posted" and self.classes:
            raise BadConfig(
                f"--preset {self.preset} cannot tell kinds of card apart. Choose another preset, or leave "
                "out --labels."
            )
        if len(self.classes) == 1:
            raise BadConfig(
                f"All cards are of one kind, {self.classes[0]}, and labels need two or more. Sort the "
                "pictures into a sub-folder for each kind and prepare them again, or leave out --labels."
            )
        if self.networks != "posted":
            self.base_grid()

    def with_batch(self, batch: int) -> "Config":
        """Return the same numbers with another batch, of which as large a share are negatives.

        Of the smallest batches the discriminator on features looks at one card.
        """
        negatives, every = self.negatives * batch // self.batch, min(self.projected_every, batch)
        return replace(self, batch=batch, negatives=negatives, projected_every=every)

    def base_grid(self) -> tuple[int, int]:
        """Return (height, width) of the lowest resolution.

        A DCGAN halves for each of `channels`; a residual network has one of them at the full size too.
        """
        halvings = len(self.channels) - (self.networks == "residual")
        scale = 2**halvings
        if self.height % scale or self.width % scale:
            raise BadConfig(
                f"These networks halve a card {halvings} times, and {self.width}x{self.height} cannot be "
                f"halved so often. Prepare the pictures again with sides in multiples of {scale}: "
                f"--size {5 * scale}x{5 * scale}."
            )
        return self.height // scale, self.width // scale

    def layer_seeds(self, player: int) -> Iterator[int]:
        """Yield a seed for each layer of a player: 0 generator, 1 discriminator, 2 heads on features.

        No layer of a run starts with the draw of another's, nor of a run with another seed.
        """
        return count(LAYERS * (PLAYERS * self.seed + player))

    def to_json(self) -> str:
        """Write every field."""
        return json.dumps(asdict(self), indent=2)


def from_json(text: str) -> Config:
    """Read what to_json wrote."""
    fields = dict(json.loads(text))
    lists = {name: tuple(value) for name, value in fields.items() if isinstance(value, list)}
    return Config(**{**fields, **lists})
