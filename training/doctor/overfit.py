"""Symptoms of too few cards: they are learnt by heart, by one network or by both."""

from training.doctor.balance import mean
from training.doctor.finding import Finding, Severity
from training.doctor.history import History

LOOKS = 3
"""Measurements of r_v that are averaged; with 100 held-out cards the error of one is about 0.05."""
OVERFIT, HOPELESS = 0.6, 0.9
"""r_v (Karras 2020): 0 is no overfitting, 0.5 the controller's target, and at 1 held-out cards score as
fakes."""
FOREIGN = -0.5
"""r_v where held-out cards score far above training cards; by chance its mean falls no lower than -0.1."""
PINNED, PINNED_LOOKS = 0.79, 50
"""The controller at its upper end (0.8), for so many measurements of 2,000 images each."""

FEWEST = 10
"""Held-out cards from which r_v is told, and D5 is the better witness."""
SURE_STEPS = 500
SURE = 0.985
"""Share of the training cards called real, for that long: r_t of Karras 2020 above 0.97; its target is
0.6."""

COPIES, MANY_COPIES = 0.05, 0.2
"""Share of fakes nearer to a training card than 99 % of held-out cards are; 0.01 is usual (Meehan 2020)."""
FEW = 200
"""Cards; Zhao 2020 needs 100 to 400 with pre-training or augmentation from the start."""


def overfit(heard: History) -> Finding | None:
    """D5: the discriminator takes held-out cards for fakes. Signals: r_v."""
    looks = heard.recent("r_v", 0, LOOKS)
    if not looks or mean(looks) < OVERFIT:
        return None
    return Finding(
        "D5",
        "discriminator overfits",
        Severity.CRITICAL if mean(looks) > HOPELESS else Severity.WARNING,
        "The discriminator has memorised its training cards: held-out cards score like fakes.",
        f"r_v {mean(looks):.2f}, mean of the last {LOOKS} measurements: 0 if held-out cards score as "
        "training cards do, 1 if as fakes; it should be at most 0.5",
        "Too few cards, or too many steps on them, for so large a discriminator.",
        "Stop here and export the best checkpoint, or start a new run, since a resumed one keeps its "
        "settings: with --augment adaptive, more cards, a smaller preset, or from trained weights (--from).",
        heard.where,
    )


def foreign(heard: History) -> Finding | None:
    """D5: held-out cards are no sample of the training cards. Signals: r_v."""
    looks = heard.recent("r_v", 0, LOOKS)
    if not looks or mean(looks) > FOREIGN:
        return None
    return Finding(
        "D5",
        "held-out cards are of another kind",
        Severity.WARNING,
        "Held-out cards score far above the training cards, which the discriminator was taught to call real.",
        f"r_v {mean(looks):.2f}, mean of the last {LOOKS} measurements; cards alike have 0 or more",
        "They are no random sample of the same cards, so they tell nothing about overfitting.",
        "Prepare the pictures anew, which holds out a random sample of all: holofoil prepare FOLDER DATA. In "
        "a split of your own, shuffle before you split.",
        heard.where,
    )


def pinned(heard: History) -> Finding | None:
    """D5: augmentation is as high as it may be and does not suffice. Signals: augment, r_v."""
    looks = heard.recent("augment", 0, PINNED_LOOKS)
    if not looks or min(looks) < PINNED or (heard.last("r_v") or 0) <= 0.5:
        return None
    return Finding(
        "D5",
        "augmentation at its limit",
        Severity.WARNING,
        "Augmentation is at its maximum, and the discriminator still overfits.",
        f"probability {looks[-1]:.2f} for {PINNED_LOOKS} measurements, r_v {heard.last('r_v'):.2f}",
        "There are too few cards for a model of this size and this many steps.",
        "Start a new run, since a resumed one keeps its settings: with fewer images, a smaller preset, more "
        "cards, or from trained weights (--from).",
        heard.where,
    )


def too_sure(heard: History) -> Finding | None:
    """D6: nearly all training cards are called real, where logits have a zero. Signal: real_accuracy.

    What r_t of Karras 2020 tells where nothing is held out.
    """
    told_by_held_out = (heard.facts.held_out_cards or 0) >= FEWEST or heard.last("held_logit") is not None
    if heard.facts.loss not in ("non_saturating", "hinge", "posted") or told_by_held_out:
        return None
    real = heard.recent("real_accuracy", SURE_STEPS, 5)
    if not real or mean(real) < SURE:
        return None
    return Finding(
        "D6",
        "discriminator too sure of its cards",
        Severity.WARNING,
        "The discriminator calls practically every training card real.",
        f"right on {mean(real):.1%} of them over the last {SURE_STEPS} steps; 80 % is healthy (r_t 0.6)",
        "It has memorised them, or nothing limits how steep it may become.",
        "Hold some cards out and have it score them. If they score like fakes, it has memorised the others: "
        "augment all it sees, real and fake alike. If they too are called real, penalise its gradient on "
        "real cards (R1), or double the weight of that penalty (gamma).",
        heard.where,
    )


def copies(heard: History) -> Finding | None:
    """D9: generated cards are training cards. Signal: copy_rate."""
    rates = heard.recent("copy_rate", 0, 2)
    if not rates or min(rates) < COPIES:
        return None
    return Finding(
        "D9",
        "memorisation",
        Severity.CRITICAL if min(rates) > MANY_COPIES else Severity.WARNING,
        "The generator reproduces training cards.",
        f"{rates[-1]:.0%} of its cards lie nearer to a training card than 99 % of held-out ones do",
        "With few cards, copying them fools the discriminator best; it fades as their number grows "
        "(Feng 2021, arXiv 2202.11765).",
        "Start a new run, since a resumed one keeps its settings: with more cards, fewer images, --augment "
        "adaptive, or from weights that were trained on other cards (--from).",
        heard.where,
    )


def few_cards(heard: History) -> Finding | None:
    """D13: too few cards to learn from. Facts: training_cards, augmented."""
    count = heard.facts.training_cards
    if count is None or count >= FEW:
        return None
    augmentation = "" if heard.facts.augmented else " with augmentation on (--augment adaptive),"
    return Finding(
        "D13",
        "few cards",
        Severity.WARNING,
        f"{count} cards are few to learn from.",
        f"{count} training cards; below {FEW} they are usually memorised",
        "Both networks have thousands of times more weights than there are cards.",
        f"Start a new run, since a resumed one keeps its settings: with more cards,{augmentation} "
        "or from trained weights (--from).",
        heard.where,
    )
