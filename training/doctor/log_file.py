"""A log file before a number of it is read: what kind it is, and its rows."""

import codecs
import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from training.doctor import console, events, tables
from training.doctor.rows import Remark, Row
from training.doctor.runs import BadLog

HEAD = 4096
"""Bytes and lines that tell what kind a file is."""
LINE = 100_000
"""Characters after which a line is broken, so that a file without line ends needs no memory."""
BEGINNING = re.compile(r"\{|\[$|\[\{|\[\[($|(-?\d[\d.eE+-]*|NaN|nan)[,\]])")
"""Of JSON over several lines, without white space. Printed lines too begin with brackets: "[0/25][5/15]"."""
CONTROLS = frozenset(range(32)) - frozenset(b"\t\n\r\f\b\x1b")


@dataclass(frozen=True)
class Log:
    """A log of a known kind, whose rows can be read again and again."""

    path: Path
    kind: str
    """For people, as in "CSV"."""
    read: Callable[[Remark], Iterator[Row]]
    """Yield the rows; tell what could not be read."""

    @property
    def is_ours(self) -> bool:
        """Tell whether it lies in a run's folder, where nothing about it must be guessed."""
        return self.path.name == "metrics.jsonl" and (self.path.parent / "config.json").exists()


def open_log(path: Path) -> Log:
    """Look at a file, or a folder of TensorBoard's event files. Raises BadLog."""
    if path.is_dir():
        return event_folder(path)
    head = beginning(path)
    if not head.strip():
        raise BadLog(f"{path} is empty. If the run has just begun, ask again after its first lines.")
    if events.are_events(head):
        return Log(path, "TensorBoard's events", lambda remark: events.rows([path], path.parent, remark))
    refuse_binary(path, head)
    return text_log(path, encoding_of(head))


def event_folder(folder: Path) -> Log:
    """Take all event files below a folder as one log. Raises BadLog."""
    files = sorted(file for file in folder.rglob("*tfevents*") if file.is_file())
    if not files:
        raise BadLog(
            f"{folder} is neither the folder of a run (no config.json) nor one of TensorBoard's events (no "
            "file *tfevents*). Name the log file itself."
        )
    if len(files) > events.FILES:
        raise BadLog(
            f"{folder} has {len(files):,} event files, and one run has at most {events.FILES}. Name the "
            "folder of one run."
        )
    return Log(folder, "TensorBoard's events", lambda remark: events.rows(files, folder, remark))


def beginning(path: Path) -> bytes:
    """Return the first bytes of a file. Raises BadLog."""
    if not path.exists():
        raise BadLog(f"{path} does not exist. Name the file that the training writes its losses into.")
    if not path.is_file():
        raise BadLog(
            f"{path} is not a file but a pipe or a device, and a log is read twice. Save it as a file first: "
            "python train.py | tee train.log"
        )
    with path.open("rb") as file:
        return file.read(HEAD)


def refuse_binary(path: Path, head: bytes) -> None:
    """Raise BadLog if the bytes are no text."""
    odd = sum(byte in CONTROLS for byte in head)
    if not head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) and odd > len(head) / 100:
        raise BadLog(
            f"{path} is neither text nor TensorBoard's events, so it is not a log. Name a log as CSV, JSON, "
            "JSONL or events, or the saved output of a training."
        )


def encoding_of(head: bytes) -> str:
    """Tell the encoding by the mark at the start; PowerShell's > writes UTF-16."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    return "utf-8-sig"


def text_log(path: Path, encoding: str) -> Log:
    """Tell tables, JSON and printed lines apart. Raises BadLog."""

    def lines() -> Iterator[str]:
        return lines_of(path, encoding)

    head = [line for line in islice(lines(), 40) if line.strip()]
    if not head:
        raise BadLog(f"{path} is empty. If the run has just begun, ask again after its first lines.")
    first = tables.parsed(head[0])
    if len(head) == 1 and is_whole(first):
        return whole_json(path, encoding)
    if isinstance(first, dict) or are_lists(head):
        return Log(path, "JSONL", lambda remark: tables.json_lines(lines(), remark))
    if BEGINNING.match("".join(head[0].split())):
        return whole_json(path, encoding)
    if dialect := tables.dialect_of(head):
        return Log(path, "CSV", lambda remark: tables.csv_rows(lines(), dialect, remark))
    return Log(path, "printed lines", lambda remark: console.rows(lines()))


def whole_json(path: Path, encoding: str) -> Log:
    """Read a file that is one JSON value. Raises BadLog."""
    if os.path.getsize(path) > tables.JSON_BYTES:
        raise BadLog(
            f"{path} is a single piece of JSON of more than {tables.JSON_BYTES >> 20} MiB, too large to be "
            "read at once. Write it as JSONL, one object on each line, or as CSV."
        )
    try:
        value = json.loads(tables.python_numbers(path.read_text(encoding, errors="replace")))
    except (ValueError, RecursionError) as error:
        raise BadLog(
            f"{path} is JSON that ends too early or is damaged ({error}). If the run still writes it, ask "
            "again when it is done."
        ) from None
    rows = tables.json_rows(value)
    return Log(path, "JSON", lambda remark: iter(rows))


def is_whole(value: object) -> bool:
    """Tell whether the one line of a file holds all of a log."""
    if isinstance(value, dict):
        return any(isinstance(inner, list | dict) for inner in value.values())
    return isinstance(value, list)


def are_lists(lines: Sequence[str]) -> bool:
    """Tell whether most lines are lists of numbers, as Python prints what train_on_batch returned."""
    return 2 * sum(bool(tables.row_of(tables.parsed(line))) for line in lines) > len(lines)


def lines_of(path: Path, encoding: str) -> Iterator[str]:
    """Yield a file's lines; a carriage return, with which bars are drawn again, ends one too."""
    with path.open(encoding=encoding, errors="replace") as file:
        while line := file.readline(LINE):
            yield line
