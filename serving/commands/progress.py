"""How far a command is, for whoever watches it."""

import sys


class Progress:
    """A count on stderr, if that is a terminal."""

    def __init__(self, word: str, total: int) -> None:
        self.word, self.total, self.done = word, total, 0
        self.watched = sys.stderr.isatty() and total > 1

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *error: object) -> None:
        if self.watched and self.done:
            sys.stderr.write("\r\x1b[K")

    def add(self, more: int) -> None:
        """Count what was done."""
        self.done += more
        if self.watched:
            sys.stderr.write(f"\r{self.word} {self.done:,} of {self.total:,}")
            sys.stderr.flush()
