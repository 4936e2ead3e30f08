"""The state of the process: serving, draining, or failed."""

from dataclasses import dataclass


@dataclass
class Life:
    """One process, from its start to its end."""

    draining: bool = False
    """It will end soon: readiness says so to balancers, and requests that still come are served."""
    failed: bool = False
    """It cannot go on because of a bug of its own, and must end."""

    def fail(self) -> None:
        """Note that the process cannot go on."""
        self.failed = True
