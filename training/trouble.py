"""The errors that are meant for the user: what is wrong and what to do, told without a traceback."""


class Trouble(Exception):
    """Something the user can mend."""

    status = 1
    """The exit code of the command that ends with it."""


class NothingToJudge(Trouble):
    """What was to be examined cannot be: 1 would say that something is wrong with it."""

    status = 2
