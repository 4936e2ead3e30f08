"""What a raw logit means: the probability of being real, and the rank among real cards."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Logits = NDArray[np.floating]


@dataclass(frozen=True)
class Calibration:
    """probability = sigmoid(slope * logit + intercept); percentile = rank in the reference."""

    slope: float  # never negative: a higher logit is never less real
    intercept: float
    reference: NDArray[np.float32]  # sorted logits of held-out real cards
    ranked_right: float  # share of (real, fake) pairs in which the real card scores higher, 0 to 1


def calibrate(real: Logits, fake: Logits) -> Calibration:
    """Fit Platt scaling (Platt 1999) to held-out real cards and generated ones, both kinds weighing the same.

    A discriminator that ranks fakes above held-out reals knows nothing: its probability is 0.5 throughout.
    """
    slope, intercept = platt(real, fake)
    if slope < 0:
        slope, intercept = 0.0, 0.0
    reference = np.sort(real).astype(np.float32)
    below = np.searchsorted(np.sort(fake), reference)
    return Calibration(slope, intercept, reference, float(below.mean() / len(fake)))


def platt(real: Logits, fake: Logits) -> tuple[float, float]:
    """Return slope and intercept that minimise the cross-entropy, by Newton's method.

    Targets stand back from 0 and 1 as Platt proposes, so that the fit is finite where the kinds separate.
    """
    logit = np.concatenate([real, fake]).astype(np.float64)
    scale = max(float(np.abs(logit - logit.mean()).max()), 1e-6)
    x = np.stack([(logit - logit.mean()) / scale, np.ones_like(logit)], axis=1)
    target = np.concatenate(
        [np.full(len(real), 1 - 1 / (len(real) + 2)), np.full(len(fake), 1 / (len(fake) + 2))]
    )
    weight = np.concatenate([np.full(len(real), 0.5 / len(real)), np.full(len(fake), 0.5 / len(fake))])
    line = np.zeros(2)
    for _ in range(100):
        probability = 1 / (1 + np.exp(-np.clip(x @ line, -500, 500)))
        gradient = x.T @ (weight * (probability - target))
        curvature = (x * (weight * probability * (1 - probability))[:, None]).T @ x + 1e-9 * np.eye(2)
        line -= damped(np.linalg.solve(curvature, gradient))
        if np.abs(gradient).max() < 1e-9:
            break
    slope = line[0] / scale
    return float(slope), float(line[1] - slope * logit.mean())


def damped(step: NDArray[np.floating]) -> NDArray[np.floating]:
    """Shorten a Newton step where the cross-entropy is nearly flat and the step would overshoot."""
    return step * min(1.0, 5.0 / max(float(np.abs(step).max()), 1e-12))
