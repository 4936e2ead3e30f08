"""What every reader of logs yields: numbers by the names that the log gives them."""

import re
from collections.abc import Callable

Row = dict[str, float]
"""One line of a log: a number for each of its columns, nan and inf included, in the order they stand."""

Remark = Callable[[str], None]
"""Takes one sentence on what could not be read."""

TOTAL = " of"
"""Ends the name of a column that holds the N of what was written as "3/N"."""

NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)(e[-+]?\d+)?%?|[-+]?(nan|inf|infinity)", re.IGNORECASE)


def number(text: str) -> float | None:
    """Read one number, "93 %" as 0.93; None if it is none."""
    text = text.strip().replace(" %", "%")
    if not NUMBER.fullmatch(text):
        return None
    return float(text[:-1]) / 100 if text.endswith("%") else float(text)


def unnamed(position: int) -> str:
    """Name a column that has no name by where it stands, from 1."""
    return f"col{position}"
