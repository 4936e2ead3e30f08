"""The doctor for logs: whatever a training wrote or printed, what does it show to be wrong?"""

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from training.curve import Curve
from training.doctor import caveats
from training.doctor.clock import Clock, Moment
from training.doctor.columns import Columns, guess, parse_columns
from training.doctor.doctor import Doctor, key
from training.doctor.facts import Facts
from training.doctor.finding import Finding, worst_first
from training.doctor.history import SIGNALS
from training.doctor.log_file import Log, open_log
from training.doctor.plot import draw
from training.doctor.running_means import RunningMeans
from training.doctor.runs import BadLog, facts_of_run
from training.doctor.survey import Survey, survey

LOSSES = ("d_loss", "g_loss")
CONFUSED_MEAN, CONFUSED_SUM = (0.5, 0.9), (1.1, 1.7)
"""Where cross-entropy begins when nothing is known: ln 2 as a mean of real and fake, or twice that."""


@dataclass
class Episode:
    """A finding from its first line to its last; those in between may be better."""

    finding: Finding
    first: Moment
    last: Moment | None = None  # None while it lasts

    def placed(self) -> Finding:
        """Return the finding with its place in the log's own count."""
        place = f"{self.first.where} to {self.last.where}" if self.last else f"from {self.first.where} on"
        return replace(self.finding, where=place)


@dataclass
class Examination:
    """All that one log shows."""

    log: Log
    survey: Survey
    columns: Columns
    episodes: dict[str, Episode] = field(default_factory=dict)
    curves: dict[str, Curve] = field(default_factory=lambda: defaultdict(Curve))
    caveats: list[Finding] = field(default_factory=list)

    @property
    def findings(self) -> list[Finding]:
        """Return what is wrong, the worst first, and then what must be known of the log."""
        return worst_first([*(episode.placed() for episode in self.episodes.values()), *self.caveats])


def examine(path: Path, columns: str = "", plot: Path | None = None) -> list[Finding]:
    """Say what a log shows, and draw its curves with the findings marked.

    `path` is a file of CSV, JSONL, JSON (Keras' History), TensorBoard's events or printed lines, or a folder
    of event files. `columns` corrects the guess which column is which: "d_loss=col7,g_loss=gan". The plot is
    written to `plot`, or beside the log, but for a run of our own, whose folder stays as it is. Raises
    BadLog, BadColumns or BadPlot.
    """
    examination = read(path, columns)
    findings = examination.findings
    if examination.log.is_ours and plot is None:
        return findings
    done = draw(examination.curves, examination.episodes.values(), path, plot)
    return [replace(found, done=done) if found.id == caveats.READING else found for found in findings]


def read(path: Path, columns: str = "") -> Examination:
    """Look what a log's columns are, then have the doctor hear it. Raises BadLog or BadColumns."""
    log = open_log(path)
    remarks: list[str] = []
    looked = survey(log.read(remarks.append))
    if not looked.rows:
        raise BadLog(no_numbers(log, remarks))
    examination = Examination(log, looked, guess(looked, parse_columns(columns)))
    hear(examination)
    clock = Clock(examination.columns, looked)
    if log.is_ours:  # nothing was guessed, and its losses have names
        examination.caveats = [caveats.unread(remark) for remark in remarks]
        return examination
    examination.caveats = caveats.of(log, looked, examination.columns, clock, remarks)
    return examination


def no_numbers(log: Log, remarks: list[str]) -> str:
    """Say that nothing can be examined."""
    what = f"{log.path} was read as {log.kind} and holds no numbers."
    advice = (
        "Name the file that the losses are written to; if the run has just begun, ask again after its first "
        "lines."
    )
    return " ".join([what, *remarks, advice])


def hear(examination: Examination) -> None:
    """Let the doctor hear the log line by line, and note from where to where each finding lasts."""
    doctor = Doctor(facts_of(examination))
    for moment, line in lines(examination):
        for name, value in line.items():
            examination.curves[name].add(moment.step, value)
        counters = {"step": moment.step} | ({"images": moment.images} if moment.images is not None else {})
        for finding in doctor.hear(line | counters):
            episode = examination.episodes.setdefault(key(finding), Episode(finding, moment))
            episode.last = None
            if finding.severity > episode.finding.severity:
                episode.finding = finding
        for finding in doctor.ended:
            examination.episodes[key(finding)].last = moment


def lines(examination: Examination) -> Iterator[tuple[Moment, dict[str, float]]]:
    """Yield the signals of each line and where it stands; caveats say what was done to them."""
    looked, columns, ours = examination.survey, examination.columns, examination.log.is_ours
    clock, means = Clock(columns, looked), RunningMeans()
    averaged = frozenset() if ours else caveats.running_means(looked, columns, clock)
    signed = not ours and caveats.wasserstein(looked, columns)
    floor = 0.0 if ours else caveats.smoothed_floor(looked, columns)
    first: float | None = None
    for row in examination.log.read(lambda remark: None):
        line = columns.read(row)
        moment = clock.at(line, row)
        first = moment.step if first is None else first
        heard = {name: value for name, value in line.items() if name in SIGNALS}
        for name in averaged & heard.keys():
            heard[name] = means.undo(name, moment.step + (first == 0), heard[name])
        if signed:
            heard = {name: v for name, v in heard.items() if name not in LOSSES or not math.isfinite(v)}
        if floor:
            heard = {
                name: v - floor * (name == "d_loss") for name, v in heard.items() if "accuracy" not in name
            }
        if heard:
            yield moment, heard


def facts_of(examination: Examination) -> Facts:
    """Return what is known of the run: all, beside a log of our own, else what the first losses tell."""
    if examination.log.is_ours:
        return facts_of_run(examination.log.path.parent)
    of, known = examination.columns.of, examination.survey.columns
    if not all(loss in of for loss in LOSSES):
        return Facts()
    d_loss, g_loss = (known[of[loss]] for loss in LOSSES)
    if g_loss.low < 0 <= d_loss.low:
        return Facts(loss="hinge")
    if CONFUSED_MEAN[0] < d_loss.first < CONFUSED_MEAN[1] and g_loss.first < CONFUSED_SUM[1]:
        return Facts(loss="posted")
    if CONFUSED_SUM[0] < d_loss.first < CONFUSED_SUM[1] and g_loss.first < CONFUSED_SUM[1]:
        return Facts(loss="non_saturating")
    return Facts()
