"""How a command that cannot do what it was asked for ends."""

REFUSED, USAGE, LATER = 1, 2, 3
CODES = "exit codes: 0 done; 1 refused, or the file exists; 2 wrong command line; 3 failed, may work later"


class Trouble(Exception):
    """Ends a command with one line and an exit code."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
