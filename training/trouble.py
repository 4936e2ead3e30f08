"""The errors that are meant for the user: what is wrong and what to do, told without a traceback."""


class Trouble(Exception):
    """Something the user can mend."""

    status = 1
    """The exit code of the command that ends with it."""
