"""The doctor of a run: hears its log line by line and says what is wrong, once."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from training.doctor.facts import Facts
from training.doctor.finding import Finding
from training.doctor.history import History
from training.doctor.symptoms import SYMPTOMS

RELIEF = 5
"""Lines without a symptom after which it is over; one good line among bad ones says little."""


@dataclass
class Complaint:
    """A finding that lasts."""

    finding: Finding
    relieved: int = 0  # lines since it was last seen


class Doctor:
    """Hears the lines of one log, live or from a file, in order. It keeps a bounded memory of them.

    A line has numbers by name, any subset of history.SIGNALS with "step" and "images"; other names are
    passed over, and a rule whose signals are missing is silent. What it says follows from the facts and the
    lines alone, so that a log that is heard again gives the same findings.
    """

    def __init__(self, facts: Facts | None = None) -> None:
        self.history = History(facts or Facts())
        self.complaints: dict[str, Complaint] = {}  # by the finding's id and name
        self.ended: list[Finding] = []
        """What the last line showed to be over."""

    def hear(self, line: Mapping[str, float]) -> list[Finding]:
        """Return what is new with this line, causes before consequences: what begins, and what got worse."""
        self.history.add(line)
        seen = [found for symptom in SYMPTOMS if (found := symptom(self.history))]
        self.ended = self.end_without(seen)
        return [finding for finding in seen if self.is_news(finding)]

    @property
    def present(self) -> list[Finding]:
        """What is wrong now, in the order it began."""
        return [complaint.finding for complaint in self.complaints.values()]

    def is_news(self, finding: Finding) -> bool:
        """Take note of a finding; tell whether it is new, or worse than it was."""
        known = self.complaints.get(key(finding))
        if known and finding.severity <= known.finding.severity:
            if finding.severity == known.finding.severity:
                known.finding = finding  # with the numbers of today
            return False
        self.complaints[key(finding)] = Complaint(finding)
        return True

    def end_without(self, seen: list[Finding]) -> list[Finding]:
        """Drop what was not seen for RELIEF lines, and return it."""
        now = {key(finding) for finding in seen}
        ended = []
        for name, complaint in list(self.complaints.items()):
            complaint.relieved = 0 if name in now else complaint.relieved + 1
            if complaint.relieved >= RELIEF:
                ended.append(replace(self.complaints.pop(name).finding, where=self.history.where))
        return ended

    def status(self) -> str:
        """Say in one line how the run stands; "healthy" where nothing is wrong."""
        wrong = ", ".join(f"{finding.id} {finding.name}" for finding in self.present)
        shown = [
            f"{label} {value:{form}}"
            for name, label, form in SHOWN
            if (value := self.history.last(name)) is not None
        ]
        return f"{wrong or 'healthy'}: {', '.join(shown)}"


SHOWN = (
    ("relativistic_accuracy", "A", ".2f"),
    ("r_v", "r_v", ".2f"),
    ("augment", "p", ".2f"),
    ("kid", "KID", ".0f"),
    ("variety", "variety", ".2f"),
)
"""What the status line tells: signal, label and form."""


def key(finding: Finding) -> str:
    """Name a finding so that the same one is known again."""
    return f"{finding.id} {finding.name}"
