"""A script or notebook as one text, and where each line of it stands for the reader."""

import ast
import json
import re
import tokenize
import warnings
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from training.trouble import NothingToJudge, refusal

FOREIGN_CELLS = ("%%bash", "%%html", "%%javascript", "%%latex", "%%sh", "%%svg", "%%writefile", "%%script")
MAGIC = re.compile(r"(%%?|!!?\s*|\?\??)[A-Za-z./{]")
QUESTION = re.compile(r"%{0,2}[A-Za-z_][\w.*\[\]]*\?\??\s*")
ASSIGNED = re.compile(r"^([\w\s.,\[\]]+=\s*)(%[A-Za-z]{2}.*|!\s*[\w./{].*)")  # with %s a string goes on


class BadScript(NothingToJudge):
    """The file is not Python that can be read."""


@dataclass(frozen=True)
class Source:
    """One text; a notebook's cells stand in it one after the other."""

    path: Path
    text: str
    tree: ast.Module
    cells: tuple[tuple[int, int], ...] = ()  # (first line in the text, number of the cell), ascending

    def place(self, at: ast.AST | int) -> str:
        """Say where a node or a line of the text stands: "line 41", "cell 3, line 4"."""
        return place(self.cells, at if isinstance(at, int) else getattr(at, "lineno", 1))

    def places(self, nodes: Iterable[ast.AST | int]) -> str:
        """Say where several stand: "lines 21, 25 and 29"."""
        lines = sorted({node if isinstance(node, int) else getattr(node, "lineno", 1) for node in nodes})
        if len(lines) < 2 or self.cells:
            return "; ".join(self.place(line) for line in lines)
        return f"lines {listed([str(line) for line in lines])}"

    def line(self, at: ast.AST) -> str:
        """Return the text of a node's first line, without indentation."""
        return self.text.splitlines()[getattr(at, "lineno", 1) - 1].strip()


def listed(words: Sequence[str]) -> str:
    """Join words as a sentence does: "a, b and c"."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def place(cells: Sequence[tuple[int, int]], line: int) -> str:
    """Say where a line of the joined text stands."""
    if not cells:
        return f"line {line}"
    first, number = cells[max(0, bisect_right(cells, line, key=lambda cell: cell[0]) - 1)]
    return f"cell {number}, line {line - first + 1}"


def read(path: Path) -> Source:
    """Read a .py or .ipynb file.

    Raises:
        BadScript: it cannot be read or does not parse; the message says where.
    """
    text, cells = read_notebook(path) if path.suffix == ".ipynb" else (read_text(path), ())
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # strings like "\d" are the user's own affair
            return Source(path, text, ast.parse(text), tuple(cells))
    except SyntaxError as error:
        where = place(cells, error.lineno or 1)
        message = f"{path} does not parse: {error.msg}, {where}. Mend it first: python cannot run it either."
        raise BadScript(message) from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise BadScript(not_python(path, error)) from error


def read_text(path: Path) -> str:
    """Decode a file as Python itself would."""
    try:
        with tokenize.open(path) as file:
            return file.read()
    except (SyntaxError, UnicodeDecodeError) as error:
        raise BadScript(not_python(path, error)) from error
    except OSError as error:
        raise BadScript(refusal(error, f"{path} cannot be read")) from error


def not_python(path: Path, error: Exception) -> str:
    """Say that a file is not Python, and what would be."""
    return f"{path} is not Python source text: {error}. Name a .py file that python can run, saved as UTF-8."


def read_notebook(path: Path) -> tuple[str, list[tuple[int, int]]]:
    """Join a notebook's code cells; what is not Python in them becomes comments or `pass`, line by line."""
    try:
        notebook = json.loads(read_text(path))
        cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
        sources = ["".join(cell["source"]) for cell in cells]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadScript(
            f"{path} is not a notebook: it should be JSON with a list of cells. Save it again from Jupyter, "
            "or export it as a .py file."
        ) from error
    lines: list[str] = []
    starts: list[tuple[int, int]] = []
    for number, source in enumerate(sources, 1):
        lines.append(f"# %% cell {number}")
        starts.append((len(lines) + 1, number))
        lines += plain(source)
    return "\n".join(lines) + "\n", starts


def plain(source: str) -> list[str]:
    """Turn a cell into lines of Python: magics, shell commands and questions are commented out.

    Those that end with a backslash go on in the next line.
    """
    lines = source.splitlines() or [""]
    first = next(filter(str.strip, lines), "")
    bare = first.lstrip()
    if bare.startswith(FOREIGN_CELLS):
        return [f"# {line}" for line in lines]
    indent = first[: len(first) - len(bare)]  # IPython takes it from all lines
    found: list[str] = []
    goes_on = False
    for line in (line.removeprefix(indent) for line in lines):
        written = f"# {line}" if goes_on else without_magic(line)
        goes_on = line.endswith("\\") and (goes_on or written != line)
        found.append(written)
    return found


def without_magic(line: str) -> str:
    """Put `pass` in place of what only IPython knows, and None where its answer gets a name.

    So the block around it stays whole.
    """
    bare = line.lstrip()
    if MAGIC.match(bare) or QUESTION.fullmatch(bare):
        return f"{line[: len(line) - len(bare)]}pass  # {bare}"
    return ASSIGNED.sub(r"\1None  # \2", line)
