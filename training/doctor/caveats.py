"""What a log cannot say, or says otherwise than it seems: notes beside the findings."""

import math
from collections.abc import Sequence

from training.doctor.clock import Clock
from training.doctor.columns import COUNTERS, Columns, listed
from training.doctor.finding import Finding, Severity
from training.doctor.log_file import Log
from training.doctor.survey import Column, Survey

READING = "L1"
AVERAGED = ("d_loss", "g_loss", "real_accuracy", "fake_accuracy")


def of(log: Log, looked: Survey, columns: Columns, clock: Clock, remarks: Sequence[str]) -> list[Finding]:
    """Return all notes on a log."""
    notes = [reading(log, looked, columns), *(unread(remark) for remark in remarks)]
    if clock.caveat:
        notes.append(granularity(clock))
    if wasserstein(looked, columns):
        notes.append(below_zero(columns))
    if smoothed_floor(looked, columns):
        notes.append(smoothed(looked, columns))
    if averaged := running_means(looked, columns, clock):
        notes.append(undone(averaged))
    if missing := {"d_loss", "g_loss"} - columns.signals:
        notes.append(incomplete(missing))
    return notes


def reading(log: Log, looked: Survey, columns: Columns) -> Finding:
    """L1: how the log was read."""
    unused = f" Not used: {listed(columns.unused)}." if columns.unused else ""
    return Finding(
        READING,
        "how the log was read",
        Severity.NOTE,
        f"Read as {log.kind}: {columns}.",
        f"{looked.rows:,} lines with numbers",
        "Which column is which was guessed by its name."
        if not columns.given
        else f"You named {listed(sorted(columns.given))}; the rest was guessed by its name.",
        f"If that is wrong, say so: --columns d_loss=NAME,g_loss=NAME.{unused}",
    )


def unread(remark: str) -> Finding:
    """L2: a part of the log that was not read."""
    return Finding(
        "L2",
        "not all could be read",
        Severity.NOTE,
        remark,
        "all numbers before it were read",
        "What a program writes reaches the disk in pieces.",
        "Ask again when the run is over.",
    )


def granularity(clock: Clock) -> Finding:
    """L3: what a line stands for had to be assumed."""
    return Finding(
        "L3",
        "steps are not told",
        Severity.NOTE,
        clock.caveat,
        f"the log counts in {clock.unit}s",
        "The doctor's rules need to know how many steps have passed.",
        "Log the losses of every tenth step, with its number.",
    )


def incomplete(missing: set[str]) -> Finding:
    """L4: a loss that is not in the log."""
    return Finding(
        "L4",
        "one side of the game is missing",
        Severity.NOTE,
        f"The log has no {' and no '.join(sorted(missing))}, without which domination (D2) cannot be told.",
        "no column of that name",
        "A discriminator that is certain is harmless while the generator still gains on it.",
        "Name the column if there is one (--columns), or log both losses.",
    )


def wasserstein(looked: Survey, columns: Columns) -> bool:
    """Tell losses without a zero: the discriminator's falls below it."""
    return "d_loss" in columns.of and looked.columns[columns.of["d_loss"]].low < 0


def below_zero(columns: Columns) -> Finding:
    """L5: losses that the doctor has no levels for."""
    return Finding(
        "L5",
        "losses below zero",
        Severity.NOTE,
        "The discriminator's loss falls below zero, as Wasserstein losses do; no value of it is good or bad "
        "by itself.",
        f"{columns.of['d_loss']!r}",
        "Such a loss is a distance that the critic estimates on a scale of its own.",
        "Watch whether its size falls, and judge the pictures by KID.",
    )


def smoothed_floor(looked: Survey, columns: Columns) -> float:
    """Return the lowest loss of the discriminator if an accuracy beside it cannot be true; else 0.

    Each card on the wrong side of 1/2 costs at least ln 2, unless the loss compares pairs: then there is no
    such side.
    """
    if "relativistic_accuracy" in columns.of:
        return 0.0
    loss = looked.columns.get(columns.of.get("d_loss", ""))
    if not loss or loss.low < 0:
        return 0.0
    for role, share in (("accuracy", 1.0), ("real_accuracy", 0.5)):
        accuracy = looked.columns.get(columns.of.get(role, ""))
        if (
            accuracy
            and accuracy.count
            and loss.low < share * (1 - best(accuracy, role, columns)) * math.log(2) - 0.02
        ):
            return loss.low
    return 0.0


def best(accuracy: Column, role: str, columns: Columns) -> float:
    """Return the highest accuracy, in [0, 1]."""
    return accuracy.high / (100 if role in columns.percent else 1)


def smoothed(looked: Survey, columns: Columns) -> Finding:
    """L6: accuracy under label smoothing."""
    low = smoothed_floor(looked, columns)
    return Finding(
        "L6",
        "accuracy of smoothed labels",
        Severity.NOTE,
        "The accuracy contradicts the loss, and was not used.",
        f"d_loss falls to {low:.3f}, though no line's accuracy is high enough for that",
        "Keras' `accuracy` rounds the answer to 0 or 1 and compares it with the label; a label of 0.9 never "
        "matches, however sure the discriminator is. Nor can its loss fall below the entropy of such labels.",
        "Measure accuracy on real and on fake with labels of 1 and 0; drop the smoothing once there is a "
        "gradient penalty.",
    )


def running_means(looked: Survey, columns: Columns, clock: Clock) -> frozenset[str]:
    """Name the signals that are means since the start, which Keras 3.0 to 3.14 return from train_on_batch."""
    if clock.unit not in ("step", "line"):
        return frozenset()
    losses = [looked.columns[columns.of[name]] for name in ("d_loss", "g_loss") if name in columns.of]
    if not losses or not all(column.is_running_mean for column in losses):
        return frozenset()
    names = {
        role
        for role in columns.of
        if role not in COUNTERS and looked.columns[columns.of[role]].is_running_mean
    }
    if "accuracy" in names:
        names |= {"real_accuracy", "fake_accuracy"}
    return frozenset(names & set(AVERAGED))


def undone(averaged: frozenset[str]) -> Finding:
    """L7: running means, computed back."""
    return Finding(
        "L7",
        "means since the start",
        Severity.NOTE,
        "These numbers are means over all steps since the start; single steps were computed back.",
        f"{listed(sorted(averaged))} move by less and less, which losses of batches do not",
        "train_on_batch returned such means in Keras 3.0 to 3.14; what breaks late hardly shows in them.",
        "Update Keras to 3.15, or call reset_metrics() on the model before each train_on_batch.",
    )
