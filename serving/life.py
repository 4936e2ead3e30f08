"""How the process stands: serving, about to end, or broken."""

from dataclasses import dataclass


@dataclass
class Life:
    """One process, from its start to its end."""

    draining: bool = False
    """It will end soon. Readiness says so, and balancers send nobody any more; who still comes is served."""
    failed: bool = False
    """It cannot go on, by a fault of its own, and must end."""

    def fail(self) -> None:
        """Note that the process cannot go on."""
        self.failed = True
