"""What Python asks of the disk, as its audit hooks tell it: the order that holds after a power cut."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

Asked = list[tuple[str, Path]]
"""What was opened by its descriptor, as what is to be synced is, and the new names that things got."""


@contextmanager
def watched() -> Iterator[Asked]:
    """Yield what is asked in this block, in order."""
    asked: Asked = []
    watching = True

    def note(event: str, arguments: tuple) -> None:
        if not watching:  # no hook can be taken away again
            return
        if event == "open" and arguments[1] is None:  # open() itself names a mode
            asked.append(("opened", Path(arguments[0])))
        elif event == "os.rename":
            asked.append(("named", Path(arguments[1])))

    sys.addaudithook(note)
    try:
        yield asked
    finally:
        watching = False
