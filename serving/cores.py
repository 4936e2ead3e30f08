"""The cores of this process, and which threads go first on them.

Threads that compute give way to the event loop, which has little to do and answers everybody.
"""

import contextlib
import os
import sys

BEHIND = 5
"""Niceness: such a thread gets a quarter of a core that both want (each step is a factor of 1.25)."""


def cores() -> int:
    """Return the number of cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def step_back() -> None:
    """Lower the priority of this thread and of all that it starts, TensorFlow's among them.

    Only Linux has a niceness for each thread (nice(2)); elsewhere it would be the whole process's.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # a sandbox may forbid it
            os.nice(BEHIND)
