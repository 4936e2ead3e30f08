"""Symptoms of too few cards: they are learnt by heart, by one network or by both."""

from training.doctor.balance import mean
from training.doctor.finding import Finding, Severity
from training.doctor.history import History

LOOKS = 3
"""Looks at r_v that are averaged: its error with 100 held-out cards is about 0.05."""
OVERFIT, HOPELESS = 0.6, 0.9
"""Of r_v (Karras 2020): 0 is none, 0.5 the controller's target, at 1 held-out cards score as fakes."""
FOREIGN = -0.5
"""Of r_v, where held-out cards score far above training cards; by chance its mean falls to -0.1."""
PINNED = 0.79
PINNED_LOOKS = 50
"""Looks at 2,000 images each for which the controller has been at its upper end."""

FEWEST = 10
"""Held-out cards from which r_v is told, and D5 is the better witness."""
SURE_STEPS = 500
SURE = 0.985
"""Of the training cards called real for so long: r_t of Karras 2020 above 0.97; its target is 0.6."""

COPIES, MANY_COPIES = 0.05, 0.2
"""Of the fakes nearer to a training card than 99 % of held-out cards are; 0.01 is usual (Meehan 2020)."""
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
        "The discriminator knows its training cards by heart: held-out cards score like fakes.",
        f"r_v {mean(looks):.2f} over the last {LOOKS} looks, where 0.5 is the most that is aimed at",
        "Too few cards, or too many steps on them, for so large a discriminator.",
        "Augment more (--augment adaptive), collect more cards, stop earlier, choose a smaller preset, or "
        "start from trained weights (--from).",
        heard.where,
    )


def foreign(heard: History) -> Finding | None:
    """D5: held-out cards are no sample of the training cards. Signals: r_v."""
    looks = heard.recent("r_v", 0, LOOKS)
    if not looks or mean(looks) > FOREIGN:
        return None
    return Finding(
        "D5",
        "held-out cards are others",
        Severity.WARNING,
        "Held-out cards score far above the cards that the discriminator was taught to call real.",
        f"r_v {mean(looks):.2f} over the last {LOOKS} looks, where cards of one kind have 0 or more",
        "They are no sample of the same cards, and nothing can be told of overfitting by them.",
        "Look at the prepared cards: the hold-out is to be drawn from all of them by chance.",
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
        "Augmentation is at its upper end and the discriminator overfits all the same.",
        f"probability {looks[-1]:.2f} for {PINNED_LOOKS} looks, r_v {heard.last('r_v'):.2f}",
        "There are too few cards for this model and so many steps.",
        "Take fewer steps, a smaller preset, more cards, or trained weights to start from (--from).",
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
        "It has learnt them by heart, or nothing bounds it.",
        "Hold cards out to tell which; augment what it sees and raise gamma.",
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
        "The generator draws training cards.",
        f"{rates[-1]:.0%} of its cards lie nearer to a training card than 99 % of held-out ones do",
        "With few cards, copying them is what wins the game; it fades as their number grows "
        "(Feng 2021, arXiv 2202.11765).",
        "Stop earlier (the best checkpoint is kept), augment more, collect more cards.",
        heard.where,
    )


def few_cards(heard: History) -> Finding | None:
    """D13: too few cards to learn from. Facts: training_cards."""
    count = heard.facts.training_cards
    if count is None or count >= FEW:
        return None
    return Finding(
        "D13",
        "few cards",
        Severity.WARNING,
        f"{count} cards are few to learn from.",
        f"{count} training cards; below {FEW} they are usually learnt by heart",
        "Both networks have thousands of times more weights than there are cards.",
        "Collect more, keep augmentation on from the start (--augment adaptive), or start from trained "
        "weights (--from).",
        heard.where,
    )
