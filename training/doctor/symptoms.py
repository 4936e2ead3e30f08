"""All symptoms, causes before consequences: the first that is found names the trouble."""

from collections.abc import Callable

from training.doctor import balance, course, overfit, pictures
from training.doctor.finding import Finding
from training.doctor.history import History

Symptom = Callable[[History], Finding | None]
"""What is wrong as the log stands, or None. It returns the same for the same history."""

SYMPTOMS: tuple[Symptom, ...] = (
    balance.broken,
    pictures.wrong_range,
    pictures.flat,
    balance.flight,
    balance.still,
    overfit.few_cards,
    balance.gradient,
    balance.domination,
    balance.too_weak,
    overfit.overfit,
    overfit.foreign,
    overfit.pinned,
    overfit.too_sure,
    pictures.collapse,
    pictures.partial_collapse,
    overfit.copies,
    course.fallen_back,
    course.plateau,
    course.exhausted,
    pictures.leak,
    pictures.checkerboard,
    course.slow_input,
)
