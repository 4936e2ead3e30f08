"""A finding of an audit beside the pictures that show it."""

from collections.abc import Iterable
from dataclasses import dataclass

from training.doctor.finding import Finding

NAMED = 3


@dataclass(frozen=True)
class Shown:
    """One picture of a finding."""

    file: str  # relative to the folder
    note: str  # what is seen on it
    beside: str = ""  # the picture to compare it with, if there is one


@dataclass(frozen=True)
class Exhibit:
    """A finding and every picture it is about, the clearest first."""

    finding: Finding
    shown: tuple[Shown, ...] = ()

    @property
    def line(self) -> str:
        """Say it in one line."""
        found = self.finding
        which = f" {found.where}." if found.where else ""
        return f"{found.severity.word} {found.id} {found.name}: {found.what}{which} {found.remedy}"


def printable(name: str) -> str:
    """Return a file's name as text that any terminal and page can show: odd characters are escaped."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in name
    )


def where(shown: Iterable[Shown]) -> str:
    """Name the first few files."""
    names = [printable(one.file) for one in shown]
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more:,} more" if more > 0 else "")
