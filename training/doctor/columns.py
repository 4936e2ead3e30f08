"""Which column of a log is which signal, guessed by names and corrected by the user."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean

from training.doctor.history import SIGNALS
from training.doctor.rows import TOTAL, Row
from training.doctor.survey import Survey
from training.doctor.tables import POSITION
from training.trouble import NothingToJudge

COUNTERS = ("step", "epoch", "images", "kimg")
"""What tells where in the run a line stands; kimg counts thousands of images."""
PARTS = ("accuracy", "d_loss_real", "d_loss_fake")
"""What signals are put together from: the accuracy on real and fake together, the halves of a loss."""
ROLES = frozenset({*SIGNALS, *COUNTERS, *PARTS})

D = {"d", "dis", "disc", "discriminator", "disciminator", "critic", "netd"}
G = {"g", "gen", "generator", "gan", "adv", "adversarial", "netg", "combined"}
REAL, FAKE = {"real", "reals", "true"}, {"fake", "fakes", "generated", "gen"}
LOSS = {"loss", "losses", "err", "error", "cost"}
ACCURACY = {"acc", "accuracy"}
OTHERS = {
    "eval", "grad", "lr", "norm", "num", "per", "rate", "scores", "signs", "size", "std", "test", "time",
    "val", "validation",
}  # fmt: skip
"""Words of columns that are something else."""
SHORT = {
    "d": "d_loss",
    "g": "g_loss",
    "dloss": "d_loss",
    "gloss": "g_loss",
    "d1": "d_loss_real",
    "d2": "d_loss_fake",
    "dr": "d_loss_real",
    "df": "d_loss_fake",
    "kimg": "kimg",
    POSITION: "epoch",
}
"""Names that are a single word."""
COUNTED = {
    "epoch": {"epoch", "epochs"},
    "step": {"step", "steps", "iter", "iters", "iteration", "iterations", "it", "batch", "batches"},
    "images": {"images", "imgs", "nimg", "samples"},
    "kimg": {"kimg"},
}
STAYS = 0.5
"""Of a counter's lines say the same as the line before: it counts epochs, of which each has many lines."""
UNNAMED = re.compile(r"col\d+")


class BadColumns(NothingToJudge):
    """No signal was recognised, or a column that was named does not exist; the message says what to write."""


@dataclass(frozen=True)
class Columns:
    """Where each signal is found."""

    of: Mapping[str, str]
    """Role, one of ROLES, and the name of its column."""
    percent: frozenset[str] = frozenset()
    """Roles whose column counts to 100."""
    unused: tuple[str, ...] = ()
    given: frozenset[str] = field(default=frozenset())
    """Roles that the user named."""

    def read(self, row: Row) -> dict[str, float]:
        """Return a row's signals and counters by the names that the doctor knows."""
        line = {role: row[name] for role, name in self.of.items() if name in row}
        line |= {role: value / 100 for role, value in line.items() if role in self.percent}
        halves = [line.pop(half) for half in ("d_loss_real", "d_loss_fake") if half in line]
        if len(halves) == 2:
            line.setdefault("d_loss", fmean(halves))
        if (both := line.pop("accuracy", None)) is not None and "real_accuracy" not in self.of:
            line |= {"real_accuracy": both, "fake_accuracy": both}
        if (thousands := line.pop("kimg", None)) is not None:
            line.setdefault("images", 1000 * thousands)
        return line

    @property
    def signals(self) -> set[str]:
        """Name the signals of the doctor that this log tells."""
        found = set(self.read(dict.fromkeys(self.of.values(), 1.0)))
        return found & SIGNALS

    def without(self, *roles: str) -> "Columns":
        """Leave some roles out."""
        return replace(self, of={role: name for role, name in self.of.items() if role not in roles})

    def __str__(self) -> str:
        """Say in words which column is which."""
        own = [role for role, column in self.of.items() if role == column and role not in self.percent]
        found = [
            f"{role} from {column!r}{' in percent' * (role in self.percent)}"
            for role, column in self.of.items()
            if role not in own
        ]
        return "; ".join(
            filter(None, [", ".join(found), f"{', '.join(own)} by their own names" if own else ""])
        )


def guess(survey: Survey, given: Mapping[str, str] | None = None) -> Columns:
    """Find the column of each signal; what is `given`, column by role, goes before. Raises BadColumns."""
    given = checked(given or {}, survey)
    of = dict(given)
    for name in sorted(survey.columns, key=lambda name: name not in ROLES):  # exact names first
        role = role_of(name)
        if role and role not in of and name not in of.values():
            of[role] = name
    of |= unnamed_counters(survey, of)
    tensorboard_epochs(of)
    order = [role for role in (*COUNTERS, *PARTS, *sorted(SIGNALS)) if role in of]
    found = {role: of[role] for role in order}
    percent = {
        role for role in found if role.endswith("accuracy") and 1.5 < survey.columns[found[role]].high <= 100
    }
    unused = [name for name in survey.columns if name not in of.values() and not name.endswith(TOTAL)]
    columns = Columns(found, frozenset(percent), tuple(unused), frozenset(given))
    if not columns.signals:
        raise BadColumns(unrecognised(unused, survey))
    return columns


def unrecognised(names: Sequence[str], survey: Survey) -> str:
    """Say that no signal was found, and what to write."""
    if not names:
        return (
            "The log has numbers of steps or epochs, but no loss and no accuracy. Have the training write "
            "both losses, as in: step 10, d_loss 0.61, g_loss 1.2"
        )
    likely = [name for name in names if not survey.columns[name].counts] or names
    example = ",".join(f"{role}={name}" for role, name in zip(("d_loss", "g_loss"), likely, strict=False))
    return (
        f"None of its columns is known as a loss or an accuracy: {listed(names)}. "
        f"Say which is which, as in --columns '{example}'."
    )


def role_of(name: str) -> str | None:
    """Return what a column's name says it holds; None if it says nothing known."""
    if name in ROLES:
        return name
    spaced = re.sub(r"([a-z])([A-Z])", r"\1 \2", name).lower()
    words = set(re.findall(r"[a-z]+\d*|\d+", spaced))
    if len(words) == 1 and (word := min(words)) in SHORT:
        return SHORT[word]
    if words & OTHERS:
        return None
    if words & ACCURACY:
        return accuracy_of(words)
    if words & {"penalty", "gp", "r1"}:
        return "penalty"
    if words & LOSS or words & {"dloss", "gloss"}:
        return loss_of(words)
    return next((counter for counter, known in COUNTED.items() if words & known), None)


def accuracy_of(words: set[str]) -> str | None:
    """Tell accuracies apart; without a word on which cards it is both."""
    if words & {"relativistic"}:
        return "relativistic_accuracy"
    if words & REAL:
        return None if words & FAKE else "real_accuracy"
    if words & FAKE:
        return "fake_accuracy"
    return None if words & G else "accuracy"


def loss_of(words: set[str]) -> str | None:
    """Tell losses apart; a loss of nobody is none that is known."""
    if words & G and not words & D:
        return "g_loss"
    if words & REAL:
        return None if words & FAKE else "d_loss_real"
    if words & FAKE:
        return "d_loss_fake"
    if words & {"gloss"}:
        return "g_loss"
    return "d_loss" if words & (D | {"dloss"}) and not words & G else None


def unnamed_counters(survey: Survey, of: Mapping[str, str]) -> dict[str, str]:
    """Tell by their course what columns without a name count: steps begin again, epochs stay for a while."""
    found: dict[str, str] = {}
    for name, column in survey.columns.items():
        if not UNNAMED.fullmatch(name) or name in of.values() or not column.whole or column.low < 0:
            continue
        stays = column.repeats > STAYS * column.count and not column.falls
        role = "epoch" if stays and "epoch" not in {*of, *found} else "step"
        if role not in {*of, *found}:
            found[role] = name
    return found


def tensorboard_epochs(of: dict[str, str]) -> None:
    """Let Keras' own tags, as in epoch_d_loss, say that an event's step is an epoch."""
    tags = [of[role] for role in of if role not in COUNTERS]
    if of.get("step") == "step" and "epoch" not in of and tags and all("epoch_" in tag for tag in tags):
        of["epoch"] = of.pop("step")


def checked(given: Mapping[str, str], survey: Survey) -> dict[str, str]:
    """Return what the user named, as the log spells it. Raises BadColumns."""
    spelt = {name.lower(): name for name in survey.columns}
    for role, name in given.items():
        if role not in ROLES:
            raise BadColumns(
                f"--columns: the doctor knows no signal {role!r}. Choose among {listed(sorted(ROLES), 99)}."
            )
        if name.lower() not in spelt:
            raise BadColumns(
                f"--columns: the log has no column {name!r}. Choose among {listed(survey.columns)}."
            )
    return {role: spelt[name.lower()] for role, name in given.items()}


def parse_columns(text: str) -> dict[str, str]:
    """Read "d_loss=col7,g_loss=gan loss". Raises BadColumns."""
    pairs = [pair.partition("=") for pair in text.split(",") if pair.strip()]
    if any(not sign or not name.strip() for _, sign, name in pairs):
        raise BadColumns(f"--columns {text!r}: write ROLE=COLUMN,ROLE=COLUMN, as in d_loss=col7,g_loss=col8.")
    return {role.strip(): name.strip() for role, _, name in pairs}


def listed(names: Iterable[str], most: int = 20) -> str:
    """Write names in a row, not all of very many."""
    names = list(names)
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
