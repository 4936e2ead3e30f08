"""Would smoothing or a dead band serve the augmentation's controller, when few cards are held out?

    python -m tests.benchmarks.controller_noise

Simulates runs whose true overfitting grows with the images seen and slows with augmentation. The look at
the hold-out is wrong by ERROR / sqrt(cards), of which LASTING is the cards' own and stays at every look, as
was measured on 180 held-out cards. Prints, for each controller, the final probability (mean ± spread over
runs) and by how much the true overfitting exceeded the target on average.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from training.controller import HIGHEST, RAMP, TARGET

ERROR = 0.5  # a held-out card's logit, in terms of the gap between training cards and fakes
LASTING = 0.7  # share of its variance
RUNS, LOOK, IMAGES = 400, 2_000, 500_000
SPEEDS = {"a small folder": 30e3, "a medium one": 150e3, "a large one": 1e6}  # images
HELD_OUT = [1, 3, 10, 40, 500]

Runs = NDArray[np.float64]
CONTROLLERS: dict[str, tuple[float, Callable[[Runs], Runs]]] = {
    "as it is": (1.0, lambda excess: np.sign(excess)),
    "dead band 0.1": (1.0, lambda excess: np.sign(excess) * (abs(excess) > 0.1)),
    "in proportion": (1.0, lambda excess: np.clip(4 * excess, -1, 1)),
    "smoothed": (0.2, lambda excess: np.sign(excess)),
}
"""The weight of a new look in the average, and the direction of the probability."""


def main() -> None:
    print("| overfits like | held out |", " | ".join(CONTROLLERS), "|")
    print("|---|---|" + "---|" * len(CONTROLLERS))
    for name, speed in SPEEDS.items():
        for cards in HELD_OUT:
            cells = [simulate(speed, cards, *controller) for controller in CONTROLLERS.values()]
            print(f"| {name} | {cards} |", " | ".join(cells), "|")


def simulate(speed: float, cards: int, weight: float, direction: Callable[[Runs], Runs]) -> str:
    """Return one cell of the table."""
    random = np.random.default_rng(0)
    probability, seen, excesses = np.full(RUNS, 0.3), np.zeros(RUNS), []
    lasting = np.sqrt(LASTING) * random.standard_normal(RUNS)
    for images in range(LOOK, IMAGES, LOOK):
        true = 1 - np.exp(-images / (speed * (1 + 8 * probability)))
        passing = np.sqrt(1 - LASTING) * random.standard_normal(RUNS)
        measured = true + ERROR / np.sqrt(cards) * (lasting + passing) - TARGET
        seen = measured if images == LOOK else seen + weight * (measured - seen)
        probability = np.clip(probability + direction(seen) * LOOK / RAMP, 0, HIGHEST)
        excesses.append(np.maximum(true - TARGET, 0).mean())
    return f"{probability.mean():.2f} ± {probability.std():.2f}, {np.mean(excesses):.3f}"


if __name__ == "__main__":
    main()
