"""The doctor for code: what is wrong with a Keras GAN's script or notebook, read without running it."""

from pathlib import Path

from training.doctor.finding import Finding, worst_first
from training.doctor.scripts.rules import RULES
from training.doctor.scripts.script import Script
from training.doctor.scripts.source import BadScript, read


def examine(path: Path) -> list[Finding]:
    """Read a .py or .ipynb file and return its findings, the worst first.

    Raises:
        BadScript: it does not parse, or no GAN stands in it.
    """
    return diagnose(understood(path))


def understood(path: Path) -> Script:
    """Read a script and find its networks."""
    script = Script(read(path))
    if not (script.generators or script.discriminators or script.trains):
        raise BadScript(f"{path} holds no Keras GAN that can be made out: no generator, no discriminator.")
    return script


def diagnose(script: Script) -> list[Finding]:
    """Apply every rule."""
    return worst_first(finding for rule in RULES for finding in rule(script))
