"""Symptoms of the game: one player stands still, or wins, or has no gradient to learn from."""

from collections.abc import Mapping

from training.doctor.finding import Finding, Severity
from training.doctor.history import History

WINNING_STEPS = 20
WINNING_ACCURACY = 0.97
"""Share of real cards, and of fakes, that are told right. Healthy runs of Keras and ADA: 0.8 to 0.95 of the
real cards."""
WINNING_SHARE = 0.1
"""The discriminator's loss as a share of what guessing has. The posted recipe falls below it by step 60."""
LOSING_LOSS = 4.0
"""The generator's loss: the mean fake is called real with less than 2 %. The posted recipe exceeds it."""
WON_SHARE, LOST_LOSS = 0.05, 5.0
"""The same two, beyond doubt."""
SLOW = ("relativistic", "hinge")
"""Losses with which healthy runs too are right on all cards for their first hundreds of steps, at 0.04 or
more of the loss that guessing has. The thresholds below are for them, and the discriminator has won only if
the generator does not gain."""
SLOW_STEPS = 100
SLOW_ACCURACY = 0.99
SLOW_SHARE = 0.03

FALLING, FALLEN, PEAK = 0.85, 0.65, 4
"""The generator gains if its loss falls to the first share within SLOW_STEPS, or has fallen to the second
share of its peak (the fourth highest line, since a single one is chance). Residual networks without norms
begin with a discriminator as sure as one that has won, and gain: they fall to 0.8, or 0.6, and less. In a
lost game these shares are 1.1 and 0.9 and more."""

NEAR = (0.3, 1.5)
"""The generator's loss where squared errors may be in use: they give 1, or 0.5, where it fools nobody. There
a cross-entropy's discriminator has 0.12 or more, see `parted`."""
PARTED = 50.0
"""How many times the discriminator's loss the generator's is; with cross-entropy it is at most 12 there. With
squared errors the fakes are then 7 times the usual error away from the label that they should reach."""

FOOLED_STEPS = 100
FOOLED_SHARE = 1.15
"""The discriminator's loss as a share of what guessing has: for that long, it does not learn."""
BACKWARDS = 0.4
"""Share of the pairs of a real card and a fake that are ranked right: a coin has 0.5, healthy runs 0.9 or
more."""
RANKED = 0.9
"""The same share, from which a high mean loss is due to a few pairs: residual networks without norms lose
some by tens of logits at first, and have a loss of 1.1 to 90 with 95 to 98 % of the pairs right."""
CONFUSED_STEPS = 500
CONFUSED_SHARE = 0.03
"""How near the loss stays to what guessing has. R3GAN's authors and our own runs stay well below 0.9 of
it."""

DEAD_GRADIENT = 1e-6
EXPLODED_GRADIENT = {"g_gradient": 100.0, "d_gradient": 1000.0}
"""Norm of a network's whole gradient; the first from ganhacks, item 10. R1 makes the second reach 50."""
GROWN_GRADIENT = 1000.0
"""How many times its lowest value the norm is; the norm alone says nothing, since Adam takes gradients of any
size. Healthy gradients grow 200 times from the first step, planted explosions 10,000 times and more; a
residual generator without norms had 200 to 550 and grew 6 times."""
GRADIENT_STEPS = 20
FLOWN = 3.0
"""Change of the weights between two lines, in multiples of the weights; at the start 0.2 is usual."""


def still(heard: History) -> Finding | None:
    """D1: weights that do not move by one bit, though they have a gradient. Signals: d_moved, g_moved."""
    moved, slopes = (
        {name: heard.last(f"{name[0]}_{signal}") for name in ("discriminator", "generator")}
        for signal in ("moved", "gradient")
    )
    frozen = [name for name in moved if moved[name] == 0 and slopes[name] != 0]
    if not frozen:
        return None
    return Finding(
        "D1",
        "network stands still",
        Severity.CRITICAL,
        f"The weights of the {' and the '.join(frozen)} do not change.",
        f"relative change since the last line: {numbers(moved)}",
        "Its optimizer was given no variables, or a learning rate of 0. In Keras 3 `trainable = False` ahead "
        "of the first training step has the same effect, whatever the model was compiled with.",
        "Give each network an optimizer of its own with a learning rate above 0, name its variables in each "
        "step, and leave `trainable` alone:\n"
        "gradients = tape.gradient(d_loss, discriminator.trainable_variables)\n"
        "d_optimizer.apply_gradients(zip(gradients, discriminator.trainable_variables))\n"
        "and the same with the generator's loss, variables and optimizer",
        heard.where,
    )


def domination(heard: History) -> Finding | None:
    """D2: the discriminator tells all real cards and fakes apart with certainty (Arjovsky and Bottou 2017).

    Signals: d_loss, g_loss; the accuracies where they are known. Relativistic logits have no zero, so there
    the share of pairs that are ranked right counts.
    """
    if parted(heard):
        return dominated(heard, SLOW_STEPS, Severity.WARNING)
    steps = SLOW_STEPS if heard.facts.loss in SLOW else WINNING_STEPS
    if not (losses := middles(heard, steps)):
        return None
    share = losses["d_loss"] / heard.facts.confused
    right = min(accuracies(heard, steps).values(), default=1.0)
    if heard.facts.loss in SLOW:
        sure = share < SLOW_SHARE and right > SLOW_ACCURACY
        wins = beyond_doubt = sure and not gains(heard)
    else:
        wins = right > WINNING_ACCURACY and losses["g_loss"] > LOSING_LOSS and share < WINNING_SHARE
        beyond_doubt = wins and share < WON_SHARE and losses["g_loss"] > LOST_LOSS
    return dominated(heard, steps, Severity.CRITICAL if beyond_doubt else Severity.WARNING) if wins else None


def gains(heard: History) -> bool:
    """Tell whether the generator's loss falls or has fallen far: then it learns, however sure its rival."""
    losses = heard.recent("g_loss", SLOW_STEPS, 3) or []
    half = len(losses) // 2
    peak = sorted(heard.remembered("g_loss"))[-PEAK:][0]
    return middle(losses[half:]) < FALLING * middle(losses[:half]) or middle(losses) < FALLEN * peak


def parted(heard: History) -> bool:
    """Tell whether fakes lie far from the real cards' label though the generator's loss is low.

    So it is with squared errors (Mao 2017). With cross-entropy it cannot be: if the mean fake costs the
    generator g, it costs the discriminator -ln(1 - e^-g) or more, a half of which is its loss at least.
    """
    losses = middles(heard, SLOW_STEPS)
    if not losses or heard.facts.loss in SLOW:
        return False
    return NEAR[0] < losses["g_loss"] < NEAR[1] and 0 <= losses["d_loss"] * PARTED < losses["g_loss"]


def middles(heard: History, steps: int) -> dict[str, float]:
    """Return the medians of both losses over the last steps; nothing if one was not heard for so long."""
    recent = {name: heard.recent(name, steps, 3) for name in ("d_loss", "g_loss")}
    known = {name: middle(values) for name, values in recent.items() if values}
    return known if len(known) == len(recent) else {}


def accuracies(heard: History, steps: int) -> dict[str, float]:
    """Return the mean accuracies over the last steps, of those kinds that the loss gives a meaning."""
    names = ["relativistic_accuracy"] if heard.facts.relative else ["real_accuracy", "fake_accuracy"]
    return {name: mean(values) for name in names if (values := heard.recent(name, steps, 3))}


def dominated(heard: History, steps: int, severity: Severity) -> Finding:
    """Name a discriminator that has won."""
    return Finding(
        "D2",
        "domination",
        severity,
        "The discriminator tells all real cards and fakes apart with certainty, and the generator learns "
        "nothing from it.",
        f"over the last {steps} steps: {numbers(middles(heard, steps) | accuracies(heard, steps))}",
        "Nothing, or too little, limits how steep the discriminator may become, so it can become perfect; "
        "its gradient is then noise to the generator. A discriminator with fewer weights wins too.",
        "Penalise its gradient on real cards (R1: add to its loss gamma / 2 times the squared norm of its "
        "logits' gradient by the pixels, gamma 1 to 10 at 64x64), and augment all it sees, real and fake "
        "alike. Slowing it down or training it less only delays this.",
        heard.where,
    )


def too_weak(heard: History) -> Finding | None:
    """D3: the discriminator is fooled, or knows nothing, for long. Signals: d_loss, relativistic_accuracy."""
    losses = heard.recent("d_loss", FOOLED_STEPS, 3)
    if not losses:
        return None
    chance = heard.facts.confused
    share = mean(losses) / chance
    ranked = heard.recent("relativistic_accuracy", FOOLED_STEPS, 3)
    backwards = bool(ranked) and mean(ranked) < BACKWARDS
    # A relativistic loss is one of pairs: a few that are far wrong can cost more than knowing nothing.
    ranks = heard.facts.relative and bool(ranked) and mean(ranked) > RANKED
    fooled = backwards or (heard.facts.loss != "unknown" and share > FOOLED_SHARE and not ranks)
    long = heard.recent("d_loss", CONFUSED_STEPS, 5)
    confused = bool(long) and all(abs(loss / chance - 1) < CONFUSED_SHARE for loss in long)
    if not fooled and not confused:
        return None
    return Finding(
        "D3",
        "discriminator too weak",
        Severity.WARNING,
        "The discriminator does worse than guessing."
        if fooled
        else "The discriminator cannot tell real cards from fakes.",
        f"d_loss {mean(losses):.3f} over the last {FOOLED_STEPS} steps, where guessing has {chance:.3f}"
        + (f"; {mean(ranked):.0%} of real cards score above fakes, where guessing has 50%" if ranked else ""),
        "The generator then follows noise. A penalty or a low learning rate holds the discriminator back, "
        "its labels are swapped, or it is not trained at all.",
        "Check that its weights move (in Keras 3 `trainable = False` before the first step freezes them for "
        "good), that real cards are labelled 1 and fakes 0. Then raise its learning rate, give it more "
        "filters, or halve the weight of its gradient penalty (gamma).",
        heard.where,
    )


def broken(heard: History) -> Finding | None:
    """D4: a loss or a gradient is no number any more. Signals: all."""
    if not heard.broken:
        return None
    return Finding(
        "D4",
        "no numbers",
        Severity.CRITICAL,
        f"{', '.join(heard.broken)} stopped being a number.",
        f"nan or infinite at {heard.where}",
        "A step was too large, or a number overflowed; every weight computed from it is lost.",
        "Go back to the last good checkpoint with half the learning rate; if it happens again, compute in "
        "float32, not in mixed precision, and give the loss logits, not probabilities: no sigmoid at the "
        "end, and BinaryCrossentropy(from_logits=True).",
        heard.where,
    )


def flight(heard: History) -> Finding | None:
    """D4: weights that become another network's within a few steps. Signals: d_moved, g_moved."""
    moved = {name: heard.last(f"{name[0]}_moved") or 0.0 for name in ("discriminator", "generator")}
    if max(moved.values()) < FLOWN:
        return None
    return Finding(
        "D4",
        "exploding weights",
        Severity.CRITICAL,
        f"The {max(moved, key=lambda name: moved[name])}'s weights explode.",
        f"change since the last line, in multiples of the weights: {numbers(moved)}",
        "The learning rate is far too high.",
        "Start again, or from a checkpoint before this, with a tenth of the learning rate or less; 2e-4 to "
        "5e-4 is usual for Adam.",
        heard.where,
    )


def gradient(heard: History) -> Finding | None:
    """D4: the generator's gradient is dead, or explodes. Signals: g_gradient, d_gradient."""
    for signal, network in (("g_gradient", "generator"), ("d_gradient", "discriminator")):
        norms = heard.recent(signal, GRADIENT_STEPS, 3)
        if norms and max(norms) < DEAD_GRADIENT:
            return dead(norms, network, heard)
        if norms and middle(norms) > max(EXPLODED_GRADIENT[signal], GROWN_GRADIENT * least(heard, signal)):
            return exploded(norms, network, heard)
    return None


def least(heard: History, signal: str) -> float:
    """Return the lowest value of a signal so far, one that may still grow."""
    return max(DEAD_GRADIENT, heard.lowest[signal].value)


def exploded(norms: list[float], network: str, heard: History) -> Finding:
    """Name a gradient that is far too large."""
    return Finding(
        "D4",
        "exploding gradient",
        Severity.CRITICAL,
        f"The {network}'s gradient explodes.",
        f"norm {middle(norms):.2g} over the last {GRADIENT_STEPS} steps, at its lowest "
        f"{heard.lowest[f'{network[0]}_gradient'].value:.2g}",
        "Nothing limits how steep the discriminator may become, or the learning rate is too high.",
        "Divide the learning rate by 4 or more, and penalise the discriminator's gradient on real cards "
        "(R1).",
        heard.where,
    )


def dead(norms: list[float], network: str, heard: History) -> Finding:
    """Name a gradient that is gone."""
    return Finding(
        "D4",
        "dead gradient",
        Severity.CRITICAL,
        f"The {network}'s gradient has vanished.",
        f"norm {middle(norms):.2g} over the last {GRADIENT_STEPS} steps",
        "A saturated sigmoid or tanh lets no gradient through.",
        "Give the loss logits, not probabilities: no sigmoid at the end of the discriminator, and "
        "BinaryCrossentropy(from_logits=True). Start from smaller weights, in each layer: "
        "kernel_initializer=keras.initializers.RandomNormal(stddev=0.02)",
        heard.where,
    )


def mean(values: list[float]) -> float:
    """Return the mean of one or more values."""
    return sum(values) / len(values)


def middle(values: list[float]) -> float:
    """Return the median of one or more values: one odd step does not move it."""
    return sorted(values)[len(values) // 2]


def numbers(named: Mapping[str, float | None]) -> str:
    """Write numbers with their names."""
    return ", ".join(f"{name} {value:.3g}" for name, value in named.items() if value is not None)
