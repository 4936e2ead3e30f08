"""Changes to a script's text, made where a syntax tree says."""

import ast
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from training.doctor.scripts.source import Source


@dataclass(frozen=True)
class Edit:
    """Put a text in place of the characters from start to end, which may be the same."""

    start: int
    end: int
    text: str


class Text:
    """A script's text, and where its nodes and lines begin and end in it, in characters."""

    def __init__(self, source: Source) -> None:
        self.text = source.text
        self.lines = source.text.splitlines(keepends=True)
        self.starts = [0]
        for line in self.lines:
            self.starts.append(self.starts[-1] + len(line))

    def at(self, line: int, column: int) -> int:
        """Turn a tree's line and column, which counts bytes, into characters from the beginning."""
        before = self.lines[line - 1].encode()[:column] if line <= len(self.lines) else b""
        return self.starts[line - 1] + len(before.decode(errors="ignore"))

    def span(self, node: ast.expr | ast.stmt | ast.keyword) -> tuple[int, int]:
        """Return where a node begins and ends."""
        end_line, end_column = node.end_lineno or node.lineno, node.end_col_offset or node.col_offset
        return self.at(node.lineno, node.col_offset), self.at(end_line, end_column)

    def of(self, node: ast.expr | ast.stmt) -> str:
        """Return a node's text."""
        start, end = self.span(node)
        return self.text[start:end]

    def indent(self, node: ast.stmt) -> str:
        """Return the white space before a statement."""
        line = self.lines[node.lineno - 1]
        return line[: len(line) - len(line.lstrip())]

    def put(self, node: ast.expr | ast.stmt, text: str) -> Edit:
        """Put a text in a node's place."""
        return Edit(*self.span(node), text)

    def drop_argument(self, call: ast.Call, argument: ast.expr | ast.keyword) -> Edit:
        """Take an argument out, with the comma before or behind it."""
        return self.drop_of([*call.args, *call.keywords], argument)

    def drop_element(self, whole: ast.List, element: ast.expr) -> Edit:
        """Take an element out of a list, with the comma before or behind it."""
        return self.drop_of(whole.elts, element)

    def drop_of(self, others: Sequence[ast.expr | ast.keyword], argument: ast.expr | ast.keyword) -> Edit:
        """Take one of several out that commas divide."""
        start, end = self.span(argument)
        before = [self.span(other)[1] for other in others if self.span(other)[1] <= start]
        after = [self.span(other)[0] for other in others if self.span(other)[0] >= end]
        if before:
            return Edit(max(before), end, "")
        return Edit(start, min(after) if after else end, "")

    def add_argument(self, call: ast.Call, text: str) -> Edit:
        """Add a last argument."""
        others = [*call.args, *call.keywords]
        place = max((self.span(other)[1] for other in others), default=self.span(call)[1] - 1)
        return Edit(place, place, f", {text}" if others else text)

    def before(self, node: ast.stmt, text: str) -> Edit:
        """Put lines in front of a statement, and of its decorators."""
        first = min([node.lineno, *(decorator.lineno for decorator in getattr(node, "decorator_list", []))])
        return Edit(self.starts[first - 1], self.starts[first - 1], indented(text, self.indent(node)))

    def behind(self, node: ast.stmt, text: str) -> Edit:
        """Put lines behind a statement."""
        place = self.starts[min(node.end_lineno or node.lineno, len(self.lines))]
        return Edit(place, place, indented(text, self.indent(node)))

    def alone(self, node: ast.stmt) -> bool:
        """Has a statement its lines to itself?"""
        start, end = self.span(node)
        behind = self.text[end : self.starts[min(node.end_lineno or node.lineno, len(self.lines))]].strip()
        before = self.text[self.starts[node.lineno - 1] : start].strip()
        return not before and (not behind or behind.startswith("#"))

    def remove(self, node: ast.stmt) -> Edit:
        """Take a statement's lines out, or put `pass` in its place on a line that it shares."""
        if not self.alone(node):
            return self.put(node, "pass")
        return Edit(self.starts[node.lineno - 1], self.starts[min(node.end_lineno or 1, len(self.lines))], "")

    def remark(self, node: ast.stmt) -> list[Edit]:
        """Take a statement out, and the comment that stands alone above it."""
        above = self.lines[node.lineno - 2] if node.lineno > 1 else ""
        if above.lstrip().startswith("#") and above[: -len(above.lstrip())] == self.indent(node):
            return [Edit(self.starts[node.lineno - 2], self.starts[node.lineno - 1], ""), self.remove(node)]
        return [self.remove(node)]

    def deeper(self, node: ast.stmt, by: str) -> list[Edit]:
        """Indent a statement further, and the comment above it."""
        first = node.lineno
        while first > 1 and self.lines[first - 2].startswith(f"{self.indent(node)}#"):
            first -= 1
        lines = range(first, (node.end_lineno or node.lineno) + 1)
        return [Edit(self.starts[line - 1], self.starts[line - 1], by) for line in lines]


def indented(text: str, by: str) -> str:
    """Indent every line that is not empty, and end with a line's end."""
    return "".join(f"{by}{line}\n" if line else "\n" for line in text.splitlines())


def applied(text: str, edits: Iterable[Edit]) -> str:
    """Make all changes; of two that overlap the one that begins first, and of those the longer, wins.

    What is put in one place stays in the order of the edits, each of them once.
    """
    parts: list[str] = []
    done = 0
    for edit in chosen(
        sorted(dict.fromkeys(edits), key=lambda edit: (edit.start, edit.start != edit.end, -edit.end))
    ):
        parts += [text[done : edit.start], edit.text]
        done = max(done, edit.end)
    return "".join([*parts, text[done:]])


def chosen(edits: Sequence[Edit]) -> list[Edit]:
    """Leave out what lies within an earlier change."""
    kept: list[Edit] = []
    end = 0
    for edit in edits:
        if edit.start >= end or edit.start == edit.end >= end:
            kept.append(edit)
            end = max(end, edit.end)
    return kept
