"""TensorFlow's start without its notes, for the gateway and for training."""

import os
import re
import tempfile
from collections.abc import Generator
from contextlib import contextmanager

STDERR = 2  # the file descriptor, which native code writes to
START_UP_NOTE = re.compile(rb"I0000 |WARNING: All log messages before absl::InitializeLog")


@contextmanager
def start_up_notes_dropped() -> Generator[None]:
    """Hold back what is written to stderr, and let it through without TensorFlow's notes.

    TensorFlow 2.21 writes them on import, before any log level of its own counts.
    """
    try:
        stderr = os.dup(STDERR)
    except OSError:  # the shell has closed it
        yield
        return
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), STDERR)
        try:
            yield
        finally:
            os.dup2(stderr, STDERR)
            os.close(stderr)
            held.seek(0)
            for line in held:
                if not START_UP_NOTE.match(line):
                    os.write(STDERR, line)
