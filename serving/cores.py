"""The cores and the interpreter of this process, and which threads go first there.

Threads that compute give way to the event loop, which has little to do and answers everybody.
"""

import contextlib
import os
import sys

BEHIND = 5
"""Niceness: such a thread gets a quarter of a core that both want (each step is a factor of 1.25)."""

HAND_OVER = 50e-6
"""Seconds; Python's default, 5 ms, is as long as a call for eight cards."""


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


def hand_over_soon() -> None:
    """Have whoever holds the interpreter hand it to a thread that waits for it within HAND_OVER seconds.

    A thread of the models needs it for some thirty microseconds before a call and after it. A core is idle
    for as long as the event loop keeps that thread waiting.
    """
    sys.setswitchinterval(HAND_OVER)
