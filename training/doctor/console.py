"""Logs that are what training printed: any lines in which numbers stand behind their names."""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from training.doctor.rows import TOTAL, Row, number, unnamed

COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
TIMES = re.compile(r"\d{4}-\d\d-\d\d[T ]?|\d{1,3}:\d\d(:\d\d)?([.,]\d+)?")
NUMBERS = re.compile(
    r"(?<![\w.])(?P<number>[-+]?(?:(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d*)?|\.\d+)(?:e[-+]?\d+)?|[-+]?(?:nan|inf))"
    r"(?P<percent> ?%)?(?:/(?P<total>\d+))?(?!\w|\.\d)",
    re.IGNORECASE,
)
SEGMENTS = re.compile(r"[,;|\[\]{}\t<>]| - ")
WORDS = 6
"""A name has no more words than this; what stands before them is a sentence."""
NOUNS = re.compile(r"acc\w*|loss\w*", re.IGNORECASE)


class Read(NamedTuple):
    """A number of a line, and what stands before it."""

    before: str
    value: float
    total: float | None
    whole: bool


def rows(lines: Iterable[str]) -> Iterator[Row]:
    """Yield the numbers of each line that has any, named by the words before them."""
    for line in lines:
        for part in line.split("\b"):  # with which Keras' bars are drawn again
            if row := row_of(part):
                yield row


def row_of(line: str) -> Row:
    """Return a line's numbers: "[D loss: 0.1, acc.: 90%]" has "D loss" and "acc.".

    Counters without a name, as in "17 [D loss: 0.1]" or "[0/25]", are named col1, col2 and so on.
    """
    row: Row = {}
    counters, name = 0, ""
    for read in numbers(line):
        if own := name_before(read.before):
            name = with_noun(own, name)
        elif read.whole and (read.total is not None or (not row and not read.before.strip(" >[(#"))):
            counters += 1
            name = unnamed(counters)
        else:
            continue
        if name not in row:
            row[name] = read.value
            if read.total is not None:
                row[name + TOTAL] = read.total
    return row


def numbers(line: str) -> Iterator[Read]:
    """Yield the numbers of a line; those with a unit, as in 25ms, and times of day are none."""
    line = TIMES.sub(" ", COLOURS.sub("", line))
    end = 0
    for match in NUMBERS.finditer(line):
        text = match["number"].replace(",", "")
        value = number(text + "%" if match["percent"] else text)
        if value is not None:
            total = float(match["total"]) if match["total"] else None
            yield Read(line[end : match.start()], value, total, text.isdigit() and not match["percent"])
        end = match.end()


def name_before(text: str) -> str:
    """Return the last words of a text that can be a name; "" if there are none."""
    for segment in reversed(SEGMENTS.split(text)):
        words = segment.strip(" \t\n:=-*>#").split()
        if any(character.isalpha() for word in words for character in word):
            return " ".join(words[-WORDS:]).rstrip(" :=")
    return ""


def with_noun(name: str, before: str) -> str:
    """Complete a name by the one before it: "Accuracy on real images: 98%, on fake images: 100%"."""
    noun = NOUNS.search(before)
    short = re.fullmatch(r"(on |for )?(the )?(real|fake|generated)( \w+)?", name, re.IGNORECASE)
    return f"{noun[0]} {name}" if noun and short else name
