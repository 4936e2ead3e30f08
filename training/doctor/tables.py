"""Logs that are tables: CSV of any delimiter, JSONL, and JSON as of Keras' History."""

import csv
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest
from typing import Any, NamedTuple

from training.doctor.rows import Remark, Row, number, unnamed

JSON_BYTES = 64 << 20
"""Largest file that is read as one piece of JSON."""
POSITION = "position"
"""Column that tells where in its list a number stood."""
DELIMITERS = ",;\t|"
GAPS = {"", "NA", "None", "null", "-"}
"""Cells without a value; Keras' CSVLogger writes NA."""
NOTHING, INFINITE = re.compile(r"\bnan\b"), re.compile(r"\binf\b")
THOUSANDS = re.compile(r"[-+]?\d{1,3}(,\d{3})+")


class Dialect(NamedTuple):
    """How a CSV file is written."""

    delimiter: str
    names: tuple[str, ...]


def dialect_of(head: Sequence[str]) -> Dialect | None:
    """Tell a CSV file by its first lines; None if they are no table of numbers.

    A file without a header has its columns named col1, col2 and so on.
    """
    head = [line for line in head if not line.startswith("#")]
    for delimiter in DELIMITERS:
        cells = list(csv.reader(head, delimiter=delimiter))
        if not cells or (len(cells[0]) < 2 and delimiter != DELIMITERS[0]):
            continue
        first, rest = cells[0], cells[1:]
        names = tuple(cell.strip() or unnamed(place) for place, cell in enumerate(first, 1))
        if is_table([first], len(first), delimiter):
            names, rest = tuple(unnamed(place) for place in range(1, len(first) + 1)), cells
        if is_table(rest, len(names), delimiter):
            return Dialect(delimiter, names)
    return None


def is_table(cells: list[list[str]], width: int, delimiter: str) -> bool:
    """Tell whether most rows, the last perhaps cut, are of this width and half numbers."""

    def numbers(row: list[str]) -> int:
        return sum(value(cell, delimiter) is not None for cell in row)

    def gaps(row: list[str]) -> int:
        return sum(cell.strip() in GAPS for cell in row)

    good = [
        row for row in cells if len(row) == width and numbers(row) and 2 * (numbers(row) + gaps(row)) >= width
    ]
    return len(good) > max(0, 0.7 * (len(cells) - 1))


def csv_rows(lines: Iterable[str], dialect: Dialect, remark: Remark) -> Iterator[Row]:
    """Yield the numbers of each row; cells that hold none are left out, and so are repeated headers."""
    table = csv.reader((line.replace("\0", "") for line in lines), delimiter=dialect.delimiter)
    try:
        for cells in table:
            named = zip(dialect.names, cells, strict=False)
            row = {name: read for name, cell in named if (read := value(cell, dialect.delimiter)) is not None}
            if row:
                yield row
    except csv.Error as error:
        remark(f"From line {table.line_num:,} on it is not CSV ({error}); what comes after was not read.")


def value(cell: str, delimiter: str) -> float | None:
    """Read a cell: with another delimiter than the comma, that is the decimal sign of half the world."""
    if "," in cell:
        if delimiter != ",":
            cell = cell.replace(".", "").replace(",", ".")
        elif THOUSANDS.fullmatch(cell.strip()):
            cell = cell.replace(",", "")
    return number(cell)


def json_lines(lines: Iterable[str], remark: Remark) -> Iterator[Row]:
    """Yield the numbers of each object, or of each list, whose columns are named col1, col2 and so on.

    Inner objects' names are joined by /.
    """
    unread, last = 0, False
    for line in lines:
        if not line.strip():
            continue
        try:
            value = json.loads(python_numbers(line))
        except (ValueError, RecursionError):
            unread, last = unread + 1, True
            continue
        last = False
        if row := row_of(value):
            yield row
    if last and unread == 1:
        remark("The last line is cut: the run seems to be still writing it.")
    elif unread:
        remark(f"{unread:,} lines are not JSON and were passed over.")


def parsed(line: str) -> object:
    """Return what a line says that is JSON by itself; None if it is none."""
    try:
        return json.loads(python_numbers(line))
    except (ValueError, RecursionError):
        return None


def python_numbers(text: str) -> str:
    """Return lists that Python printed as JSON, where nan and inf have other names."""
    if '"' in text or not text.lstrip().startswith("["):
        return text
    return INFINITE.sub("Infinity", NOTHING.sub("NaN", text))


def row_of(value: object) -> Row:
    """Return the numbers of an object by their names, or of a list by their places."""
    if isinstance(value, dict):
        return flat(value)
    if isinstance(value, list):
        return flat({unnamed(place): inner for place, inner in enumerate(value, 1)})
    return {}


def json_rows(value: object) -> list[Row]:
    """Return the rows of a list of objects or lists, or of an object of lists as Keras' History is."""
    if isinstance(value, list) and all(isinstance(item, list) for item in value):
        return list_rows(value)
    if isinstance(value, list):
        rows = (row_of(item if isinstance(item, dict | list) else [item]) for item in value)
        return [row for row in rows if row]
    columns = dict(lists_in(value)) if isinstance(value, dict) else {}
    rows = []
    for position, numbers in enumerate(zip_longest(*columns.values())):
        named = zip(columns, numbers, strict=True)
        row = {name: read for name, cell in named if (read := as_float(cell)) is not None}
        if row:
            rows.append({POSITION: float(position)} | row)
    return rows


def list_rows(lists: list[list[Any]]) -> list[Row]:
    """Return the rows of lists: of many short ones each is a row, of a few long ones each is a column."""
    if 0 < len(lists) < min(map(len, lists)):
        lists = [list(row) for row in zip_longest(*lists)]
    return [row for numbers in lists if (row := row_of(numbers))]


def lists_in(value: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, list[Any]]]:
    """Yield each list with its name; pandas writes an object of positions in place of a list."""
    for name, inner in value.items():
        if isinstance(inner, list):
            yield prefix + name, inner
        elif isinstance(inner, dict) and inner and all(key.isdigit() for key in inner):
            yield prefix + name, list(inner.values())
        elif isinstance(inner, dict):
            yield from lists_in(inner, f"{prefix}{name}/")


def flat(value: dict[str, Any], prefix: str = "") -> Row:
    """Return the numbers of an object and of those in it."""
    row: Row = {}
    for name, inner in value.items():
        if isinstance(inner, dict):
            row |= flat(inner, f"{prefix}{name}/")
        elif (read := number(inner) if isinstance(inner, str) else as_float(inner)) is not None:
            row[prefix + name] = read
    return row


def as_float(value: object) -> float | None:
    """Return what counts; true and false do not, nor does an integer beyond all floats."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return None
