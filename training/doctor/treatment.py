"""What a run does about a finding: a stronger penalty, more augmentation, back to the best, or the end."""

from dataclasses import replace
from typing import NamedTuple

from training.checkpoints import Progress
from training.config import Config, TreatmentName
from training.controller import HIGHEST
from training.doctor.doctor import key
from training.doctor.finding import Finding, Severity

PATIENCE = 300
"""Steps that a treatment is given to work before it, or the next one, is tried."""
STRONGEST = 16.0
"""Times the gamma of the configuration; beyond it the discriminator only answers the penalty."""
MORE = 0.1
"""That a probability of augmentation is raised by."""

COURSES: dict[str, tuple[Severity, tuple[tuple[TreatmentName, ...], ...]]] = {
    "D2 domination": (Severity.CRITICAL, (("raise-r1", "raise-augment"), ("roll-back",))),
    "D5 discriminator overfits": (Severity.WARNING, (("raise-augment",),)),
    "D7 mode collapse": (Severity.CRITICAL, (("raise-r1",), ("roll-back",))),
    "D10 diverged": (Severity.CRITICAL, (("roll-back",), ("stop",))),
    "D10 exhausted": (Severity.WARNING, (("stop",),)),
}
"""For each trouble how bad it must be, and what is tried together, group after group while none is left."""


class Treatment(NamedTuple):
    """What is done now."""

    names: tuple[str, ...]
    progress: Progress  # as it is afterwards
    told: str


def treat(finding: Finding, progress: Progress, config: Config, returns: int) -> Treatment | None:
    """Choose what to do about a finding, or None: nothing helps, is possible, or is due already.

    `returns` is how often the run may still go back.
    """
    least, groups = COURSES.get(key(finding), (Severity.CRITICAL, ()))
    waited = progress.step - progress.treated.get(key(finding), -PATIENCE)
    if config.doctor != "act" or finding.severity < least or waited < PATIENCE:
        return None
    for group in groups:
        chosen = tuple(name for name in group if possible(name, progress, config, returns))
        if chosen:
            treated = replace(progress, treated=progress.treated | {key(finding): progress.step})
            return apply(chosen, treated, config)
    return None


def possible(name: TreatmentName, progress: Progress, config: Config, returns: int) -> bool:
    """Tell whether a treatment is allowed and would change anything."""
    return (
        name not in config.without
        and {
            "raise-r1": bool(config.r1 or config.r2) and progress.strength < STRONGEST,
            "raise-augment": config.augment == "adaptive" and progress.probability < HIGHEST,
            "roll-back": returns > 0 and progress.best_step is not None,
            "stop": True,
        }[name]
    )


def apply(names: tuple[str, ...], progress: Progress, config: Config) -> Treatment:
    """Change the progress, and say how, and how to undo it."""
    told = []
    if "raise-r1" in names:
        progress = replace(progress, strength=min(STRONGEST, 2 * progress.strength))
        told.append(f"gamma raised to {progress.strength * config.r1:.3g}")
    if "raise-augment" in names:
        progress = replace(progress, probability=min(HIGHEST, round(progress.probability + MORE, 6)))
        told.append(f"augmentation raised to {progress.probability:.2f}")
    if "roll-back" in names:
        told.append(f"gone back to the best checkpoint, of step {progress.best_step:,}, with half the rate")
    if "stop" in names:
        told.append("stopped; the best checkpoint is kept")
    undo = " ".join(names)
    return Treatment(names, progress, f"{', '.join(told)} (not wanted? --without {undo})")
