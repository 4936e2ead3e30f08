"""How many connections there may be, and who makes room: one client cannot take every place and keep it."""

import logging
import sys
from typing import Protocol

OTHER_FILES = 256
"""Files that the process has open beside its connections, with room to spare."""

logger = logging.getLogger(__name__)


class Guest(Protocol):
    """A connection."""

    def leave(self) -> None:
        """Be closed at once."""
        ...


class Places:
    """Places for connections. For one too many the one leaves that has had nothing under way for longest."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.taken = 0
        self.idle: dict[Guest, None] = {}  # the longest first

    def enter(self, guest: Guest) -> bool:
        """Take a place, with nothing under way; return whether there was one, or one was made."""
        self.taken += 1
        if self.taken > self.most:
            if not self.idle:
                return False
            longest = next(iter(self.idle))
            self.busy(longest)
            longest.leave()
        self.rest(guest)
        return True

    def busy(self, guest: Guest) -> None:
        """Note that something is under way."""
        self.idle.pop(guest, None)

    def rest(self, guest: Guest) -> None:
        """Note that nothing is under way any more."""
        self.idle[guest] = None

    def gone(self, guest: Guest) -> None:
        """Note that a place is free again."""
        self.busy(guest)
        self.taken -= 1


def files_for(connections: int) -> int:
    """Have the system allow this process so many connections; return how many it allows.

    A connection takes an open file, of which many systems allow 1,024 unless one asks for more. Where none
    is left, nobody is answered.
    """
    if sys.platform == "win32":
        return connections
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return connections
    allowed = max(1, soft - OTHER_FILES)
    logger.warning("The system allows %d open files: %d connections, not %d", soft, allowed, connections)
    return allowed
