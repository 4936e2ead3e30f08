"""Symptoms in a run's course: it no longer gains, it falls back, it waits for cards."""

from training.doctor.balance import mean
from training.doctor.finding import Finding, Severity
from training.doctor.history import History

PATIENCE = 5
"""Evaluations without a gain; after twice as many no gain is to be expected."""
FELL_BACK = 2.0
"""The newest KIDs, in multiples of the best."""
NOISE = 5.0
"""KID x1000 of 500 cards below which values cannot be told apart."""
WAIT, WAIT_STEPS = 0.1, 50
"""Share of the time for which the device waits for cards."""
WAITING = {
    True: (
        "The cards are in memory already: something else keeps the processors busy, or fills the memory.",
        "See what else runs on this machine, and whether it swaps (top); stop that, or run elsewhere.",
    ),
    False: (
        "There are too many cards for memory, and reading them from their file is slower than training.",
        "Bring the prepared dataset to a disk of this machine, an SSD, and go on from there: holofoil train "
        "DATA RUN --resume",
    ),
    None: (
        "Reading or decoding is slower than training.",
        "Put the dataset on a local disk, hold it in memory, or decode once and keep the pixels.",
    ),
}
"""Why it waits and what to do, by whether the cards are in memory; not known of logs of others."""


def fallen_back(heard: History) -> Finding | None:
    """D10: the cards are far worse than they were. Signal: kid."""
    kids, best = heard.recent("kid", 0, 2), heard.lowest.get("kid")
    if not kids or not best or min(kids) < FELL_BACK * max(best.value, NOISE):
        return None
    return Finding(
        "D10",
        "diverged",
        Severity.CRITICAL,
        "The generated cards are far worse than they were.",
        f"KID {kids[-1]:.0f}, at step {best.step:,.0f} it was {best.value:.0f}",
        "The two networks are out of balance, which seldom mends itself.",
        "Go back to the best checkpoint with half the learning rate: --resume --doctor act does so.",
        heard.where,
    )


def plateau(heard: History) -> Finding | None:
    """D10: no evaluation was better for long. Signal: kid."""
    return without_gain(heard, "plateau", Severity.NOTE, PATIENCE)


def exhausted(heard: History) -> Finding | None:
    """D10: no evaluation was better for so long that none will be. Signal: kid."""
    return without_gain(heard, "exhausted", Severity.WARNING, 2 * PATIENCE)


def without_gain(heard: History, name: str, severity: Severity, evaluations: int) -> Finding | None:
    """Tell whether so many evaluations in a row were no better than the best before them."""
    kids, best = heard.recent("kid", 0, evaluations), heard.lowest.get("kid")
    if not kids or not best or best.value in kids:
        return None
    return Finding(
        "D10",
        name,
        severity,
        f"The last {evaluations} evaluations found no better cards.",
        f"best KID {best.value:.0f} at step {best.step:,.0f}, now {kids[-1]:.0f}",
        "This recipe has learnt what it can from these cards, or the learning rate is too high to settle.",
        "Stop here and export the best checkpoint, which is kept. Or let the learning rate fall sooner, as "
        "it does towards the end of a run: --resume --images, with an end not far from here.",
        heard.where,
    )


def slow_input(heard: History) -> Finding | None:
    """D14: the device waits for cards. Signal: input_wait."""
    waits = heard.recent("input_wait", WAIT_STEPS, 3)
    if not waits or mean(waits) < WAIT:
        return None
    return Finding(
        "D14",
        "waiting for cards",
        Severity.WARNING,
        "The device waits for cards.",
        f"{mean(waits):.0%} of the time over the last {WAIT_STEPS} steps",
        *WAITING[heard.facts.in_memory],
        heard.where,
    )
