"""Choosing the doctor for a script, a run or a log, and writing what it finds for people and for programs."""

import json
import shlex
from collections.abc import Sequence
from pathlib import Path

from training.doctor.finding import Finding, Severity, worst_first
from training.trouble import NothingToJudge, refusal

CAVEAT = "L"
"""What the ids of notes on the reading of a log begin with; they tell of nothing wrong."""
SCRIPTS = (".py", ".ipynb")


class BadTarget(NothingToJudge):
    """No doctor knows this kind of file."""


def consult(target: Path, columns: str = "", plot: Path | None = None) -> list[Finding]:
    """Return what is wrong with a target, the worst first.

    A script or notebook is read as code, a run's folder by its metrics.jsonl, all else as a log, whose curves
    are drawn into `plot`, or beside a log that is none of ours. `columns` says which of its columns is which.

    Raises:
        Trouble: it is not there, cannot be read, or is of no kind that is understood.
    """
    try:
        return examined(target, columns, plot)
    except OSError as error:
        raise BadTarget(refusal(error, f"{target} cannot be read")) from error


def examined(target: Path, columns: str, plot: Path | None) -> list[Finding]:
    """Have the right doctor examine a target. Raises Trouble, or OSError if it cannot be read."""
    if not target.exists():
        raise BadTarget(f"{target} does not exist. Name a script or notebook, a log, or the folder of a run.")
    if target.is_file() and target.suffix in SCRIPTS:
        if columns or plot:
            raise BadTarget(f"{target} is a script: --columns and --plot are for logs. Leave them out.")
        from training.doctor import code

        return code.examine(target)
    from training.doctor import logs

    return logs.examine(log_of(target), columns, plot)


def log_of(target: Path) -> Path:
    """Return a run's metrics.jsonl for its folder, and any other target as it is. Raises BadTarget."""
    if not (target / "config.json").exists():
        return target
    if not (target / "metrics.jsonl").exists():
        raise BadTarget(
            f"{target} has no metrics.jsonl yet: a run writes it with its first step. Ask again then."
        )
    return target / "metrics.jsonl"


def fix(target: Path, out: Path) -> str:
    """Write a repaired script beside a target, and say what was mended.

    Raises:
        Trouble: the target is no script, or `out` is there already.
    """
    if target.suffix not in SCRIPTS:
        raise BadTarget(
            f"{target} is not a script, and --fix repairs .py and .ipynb files alone. Name the script that "
            "trains, or leave out --fix."
        )
    from training.doctor import code

    return str(code.repair(target, out))


def as_text(findings: Sequence[Finding]) -> str:
    """Write findings for a terminal, the worst first, with one line at the end that sums them up."""
    counts = [
        f"{sum(finding.severity == severity for finding in findings)} {severity.word}"
        for severity in sorted(Severity, reverse=True)
    ]
    summary = f"{len(findings)} finding{'s' * (len(findings) != 1)}: {', '.join(counts)}."
    if not findings:
        return "healthy: nothing found."
    if all(finding.id.startswith(CAVEAT) for finding in findings) and not exit_code(findings):
        summary = "No sign of failure in what was read."
    return "\n\n".join([*map(str, worst_first(findings)), summary])


def next_step(target: Path, findings: Sequence[Finding]) -> str:
    """Say how to have a script repaired; nothing where no finding calls for it."""
    if target.suffix not in SCRIPTS or not exit_code(findings):
        return ""
    mended = shlex.quote(f"{target.stem}-mended.py")
    return f"Write a repaired copy: holofoil doctor {shlex.quote(str(target))} --fix {mended}"


def as_json(findings: Sequence[Finding]) -> str:
    """Write findings as a JSON array, severities by their names."""
    return json.dumps([finding.to_dict() for finding in worst_first(findings)], indent=2, ensure_ascii=False)


def exit_code(findings: Sequence[Finding]) -> int:
    """Return 0 if there is nothing above a note, else 1."""
    return int(any(finding.severity > Severity.NOTE for finding in findings))
