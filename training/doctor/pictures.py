"""Symptoms in the pictures: range, variety, and what augmentation or the network leaves on them."""

from training.doctor.balance import numbers
from training.doctor.finding import Finding, Severity
from training.doctor.history import History

EDGE = 1.05
"""Real pixels beyond ±1.05 are not in [-1, 1], the range of tanh."""
DARK, LIGHT = -0.1, 0.5
"""No real pixel below the one, but some above the other: the pictures are in [0, 1]."""
FLAT = 0.02
"""Spread of the real pixels below which the pictures are blank."""
FAINT, FAINT_STEPS = 0.1, 300
"""Contrast of the fakes as a share of the real cards', after that many steps."""

YOUNG_STEPS, GROWN_STEPS = 500, 1_500
"""Variety starts at nothing: after 400 steps small networks had 0.2 and wide ones 0.85. Between these two
steps only a run with hardly any variety, or one that has lost it again, is called collapsed."""
NO_VARIETY = 0.15
"""The posted recipe had 0.07 after 300 steps, and kept it."""
LOST = 0.5
"""Variety as a share of the most that there was."""
SAME, ALL_SAME = 0.5, 0.25
"""How much fakes differ from each other at each pixel, as a share of how much real cards do."""
ALIKE, ALL_ALIKE = 0.1, 0.2
"""MS-SSIM between fakes minus that between real cards; a shared template makes both high."""
FIXED, REST = 0.1, 4.0
"""As SAME, for the part of the card that varies least, and how many times as much the whole card varies.
Healthy runs have 0.2 or more, and 2.5 or less; when they begin, the whole card varies as little."""

LEAKED, LEAK_PROBABILITY = 2.0, 0.6
"""A trace this many times as frequent in fakes as in real cards has leaked, if augmentation is that
likely."""
GRID = 3.0
"""Power of the finest wave in fakes, in multiples of the real cards'; up to 1.5 is usual (Odena 2016)."""


def wrong_range(heard: History) -> Finding | None:
    """D0: real cards are not in the range that the generator draws in. Signals: real_low, real_high."""
    low, high = heard.last("real_low"), heard.last("real_high")
    if low is None or high is None:
        return None
    outside = low < -EDGE or high > EDGE
    if not outside and not (low > DARK and high > LIGHT):
        return None
    return Finding(
        "D0",
        "range mismatch",
        Severity.CRITICAL,
        f"Real cards lie in [{low:.3g}, {high:.3g}]; the generator draws in [-1, 1].",
        f"lowest and highest real pixel: {low:.3g}, {high:.3g}",
        "Their mean brightness alone tells them from fakes: the discriminator is right from the first step.",
        "cards = 2 * cards - 1  # from [0, 1] to [-1, 1]"
        if low > -EDGE and high < EDGE
        else "cards = cards.astype('float32') / 127.5 - 1  # of pixels from 0 to 255, with no other scaling",
        heard.where,
    )


def flat(heard: History) -> Finding | None:
    """D0: blank pictures, real or generated. Signals: real_spread, fake_spread."""
    real, fake = heard.last("real_spread"), heard.last("fake_spread")
    if real is None or fake is None:
        return None
    blank = real < FLAT
    if not blank and not (heard.step >= FAINT_STEPS and fake < FAINT * real):
        return None
    return Finding(
        "D0",
        "flat pictures",
        Severity.CRITICAL,
        f"{'Real' if blank else 'Generated'} cards are blank.",
        f"spread of the pixels of real cards {real:.3g}, of fakes {fake:.3g}",
        "There is nothing to learn from them."
        if blank
        else "The generator's signal dies out between its layers.",
        "Look at what the discriminator is given, and mend how it is loaded: plt.imshow((cards[0] + 1) / 2)"
        if blank
        else "Put BatchNormalization() behind every layer of the generator but the last, or behind none.",
        heard.where,
    )


def collapse(heard: History) -> Finding | None:
    """D7: fakes resemble each other more than real cards do. Signals: variety, similarity."""
    variety, similarity = (heard.recent(name, 0, 2) for name in ("variety", "similarity"))
    if heard.step < YOUNG_STEPS or not (variety or similarity):
        return None
    widest, least_alike = max(variety or [1.0]), min(similarity or [0.0])
    lost = bool(variety) and widest < LOST * heard.highest["variety"].value
    grown = heard.step >= GROWN_STEPS and (widest < SAME or least_alike > ALIKE)
    if not lost and not grown and widest >= NO_VARIETY:
        return None
    shown = {
        "variety": widest if variety else None,
        "MS-SSIM above real": least_alike if similarity else None,
    }
    return Finding(
        "D7",
        "mode collapse",
        Severity.CRITICAL if widest < ALL_SAME or least_alike > ALL_ALIKE else Severity.WARNING,
        "The generator draws only a few different cards.",
        f"{numbers(shown)}; real cards have a variety of 1",
        "A few cards that fool the discriminator are all that it needs.",
        "Double the weight of the gradient penalty (gamma), and if that is no help, go back to the best "
        "checkpoint: --doctor act does so. If it collapses again, start a new run with a larger --batch, and "
        "look for copies among the pictures: holofoil audit FOLDER",
        heard.where,
    )


def partial_collapse(heard: History) -> Finding | None:
    """D8: a part of the card is the same on all fakes, though not on real cards. Signal: least_variety."""
    least, variety = (heard.recent(name, 0, 2) for name in ("least_variety", "variety"))
    if heard.step < YOUNG_STEPS or not least or not variety:
        return None
    if max(least) >= FIXED or min(variety) < REST * max(least):
        return None
    return Finding(
        "D8",
        "partial collapse",
        Severity.WARNING,
        "A part of the card is drawn the same every time.",
        f"there fakes vary {max(least):.0%} as much as real cards; on the whole card {max(variety):.0%}",
        "The noise no longer reaches that part.",
        "Start a new run from the best checkpoint of this one, with another seed and a larger batch: "
        "holofoil train DATA NEW_RUN --from RUN --seed 1 --batch 64. In a script of your own, double the "
        "weight of the gradient penalty (gamma), or take more noise.",
        heard.where,
    )


def leak(heard: History) -> Finding | None:
    """D11: the generator draws the augmentations (Karras 2020). Signals: leak_*, augment."""
    if (heard.last("augment") or 0) <= LEAK_PROBABILITY:
        return None
    looks = {name: heard.recent(name, 0, 2) for name in heard.signals if name.startswith("leak_")}
    leaked = {
        name.removeprefix("leak_").replace("_", " "): ratios[-1]
        for name, ratios in looks.items()
        if ratios and min(ratios) > LEAKED
    }
    if not leaked:
        return None
    return Finding(
        "D11",
        "augmentation leaks",
        Severity.WARNING,
        "The generated cards show the augmentations.",
        f"times as frequent or varied as in real cards: {numbers({**leaked})}; "
        f"probability {heard.last('augment'):.2f}",
        "When most of what the discriminator sees is augmented, a card that is not looks wrong to it.",
        "Start a new run with a lower, fixed probability: --augment 0.4",
        heard.where,
    )


def checkerboard(heard: History) -> Finding | None:
    """D12: a grid of single pixels on the fakes (Odena 2016). Signal: nyquist."""
    powers = heard.recent("nyquist", 0, 2)
    if heard.step < YOUNG_STEPS or not powers or min(powers) < GRID:
        return None
    return Finding(
        "D12",
        "checkerboard",
        Severity.WARNING,
        "The fakes carry a grid of single pixels.",
        f"{powers[-1]:.1f} times the real cards' power in the finest wave",
        "Transposed convolutions whose kernel size is not a multiple of the stride cover pixels unevenly.",
        "Put UpSampling2D() and Conv2D(filters, 3, padding='same') in place of each Conv2DTranspose, or give "
        "that 4x4 kernels at stride 2. The presets nano, tiny and base do the first.",
        heard.where,
    )
