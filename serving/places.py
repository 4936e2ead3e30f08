"""How many connections may be open, and which one makes room for another: an idle one."""

import contextlib
import logging
import sys
from typing import Protocol

from serving.logs import Throttle

OTHER_FILES = 256
"""Files that the process has open besides its connections, with room to spare."""

logger = logging.getLogger(__name__)


class Guest(Protocol):
    """A connection."""

    def make_room(self) -> None:
        """Close, so that another one can come."""
        ...


class Places:
    """The limit on open connections: one more closes the one that has been idle for longest.

    If none is idle, the newcomer is let in all the same, and its first request is refused.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.inside: set[Guest] = set()
        self.idle: dict[Guest, None] = {}  # the longest first
        self.throttle = Throttle()

    @property
    def overfull(self) -> bool:
        """Whether there are more than there may be."""
        return len(self.inside) > self.most

    def enter(self, guest: Guest) -> None:
        """Count a connection that was opened; it is idle."""
        if len(self.inside) >= self.most:
            if self.throttle.due():
                logger.warning("All %d connections are taken, %d of them idle", self.most, len(self.idle))
            if longest := next(iter(self.idle), None):
                self.gone(longest)
                longest.make_room()
        self.inside.add(guest)
        self.idle[guest] = None

    def busy(self, guest: Guest) -> None:
        """Note that something is under way."""
        self.idle.pop(guest, None)

    def rest(self, guest: Guest) -> None:
        """Note that nothing is under way any more."""
        if guest in self.inside:
            self.idle[guest] = None

    def gone(self, guest: Guest) -> None:
        """Note that a place is free again."""
        self.busy(guest)
        self.inside.discard(guest)


def files_for(connections: int) -> int:
    """Have the system allow this process so many connections; return how many it allows.

    A connection takes an open file, and many systems allow 1,024 unless one asks for more. Once none is left,
    nobody is answered.
    """
    if sys.platform == "win32":
        return connections
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        raised = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with contextlib.suppress(OSError, ValueError):  # macOS has a limit of its own below the hard one
            resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
            soft = raised
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return connections
    allowed = max(1, soft - OTHER_FILES)
    logger.warning("The system allows %d open files: %d connections, not %d", soft, allowed, connections)
    return allowed
