"""What a doctor knows of a run before the first line of its log."""

from dataclasses import dataclass
from typing import Literal

from training.config import CONFUSED, LossName


@dataclass(frozen=True)
class Facts:
    """A run's circumstances; what is not known is None, and rules that need it are silent."""

    loss: LossName | Literal["unknown"] = "unknown"
    batch: int | None = None
    training_cards: int | None = None
    held_out_cards: int | None = None
    augmented: bool = False
    in_memory: bool | None = None  # all cards; else they are read from a file while it trains

    @property
    def confused(self) -> float:
        """The discriminator's loss where it cannot tell; an unknown one is taken for a cross-entropy."""
        return CONFUSED["posted" if self.loss == "unknown" else self.loss]

    @property
    def relative(self) -> bool:
        """Tell whether logits have no zero of their own: only differences between real and fake count."""
        return self.loss == "relativistic"
