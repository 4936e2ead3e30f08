"""The errors that are meant for the user: what is wrong and what to do, told without a traceback."""

import errno

ELSEWHERE = "Something else lies in the way: move it, or name another place."
ROOM = "Make room on that disk, or name a place on another one."
RIGHTS = "Ask for the right to read and write there, or name another place."
ADVICE = {
    errno.ENOSPC: ROOM,
    errno.EDQUOT: ROOM,
    errno.EFBIG: ROOM,
    errno.EACCES: RIGHTS,
    errno.EPERM: RIGHTS,
    errno.EROFS: RIGHTS,
    errno.EEXIST: ELSEWHERE,
    errno.ENOTDIR: ELSEWHERE,
    errno.EISDIR: ELSEWHERE,
}


class Trouble(Exception):
    """Something the user can mend."""

    status = 1
    """The exit code of the command that ends with it."""


class NothingToJudge(Trouble):
    """What was to be examined cannot be: 1 would say that something is wrong with it."""

    status = 2


def refusal(error: OSError, place: object) -> str:
    """Say where the system refused what, and what to do."""
    return f"{place}: {error.strerror or error}. {ADVICE.get(error.errno or 0, '')}".strip()
