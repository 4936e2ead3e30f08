"""The doctor for code: what is wrong with a Keras GAN's script or notebook, read without running it."""

import ast
import shlex
from dataclasses import dataclass
from pathlib import Path

from training.doctor.finding import Finding, worst_first
from training.doctor.scripts.complete import READS_PICTURES
from training.doctor.scripts.repair import not_rebuilt
from training.doctor.scripts.repair import repair as mended_text
from training.doctor.scripts.rules import RULES
from training.doctor.scripts.script import Script
from training.doctor.scripts.source import BadScript, listed, read

FRAMEWORKS = {"torch": "PyTorch", "jax": "JAX", "flax": "JAX", "paddle": "Paddle", "mxnet": "MXNet"}
INSTEAD = "It can judge what a training prints, of any framework: save that to a file, and name the file."
OF_A_STEP = frozenset({"C3", "C8", "C10", "C15", "C16", "C19", "C22"})
"""Findings that a training step written anew mends, and no change where they stand."""


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
        why = foreign(script) or "is not a Keras GAN: no generator and no discriminator was found in it"
        raise BadScript(f"{path} {why}. {INSTEAD}")
    return script


def foreign(script: Script) -> str | None:
    """Say which other framework a script is written for, None if it imports none."""
    for node in ast.walk(script.tree):
        modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        modules += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        for module in modules:
            if framework := FRAMEWORKS.get(module.partition(".")[0]):
                return f"is written for {framework}; the doctor reads code for Keras alone"
    return None


def diagnose(script: Script) -> list[Finding]:
    """Apply every rule."""
    return worst_first(finding for rule in RULES for finding in rule(script))


@dataclass(frozen=True)
class Repaired:
    """What a repair came to."""

    out: Path
    mended: list[Finding]
    left: list[Finding]
    why: str = ""
    """Why the script was given no training step, which some of those left would take."""
    reads_pictures: bool = False
    """Whether an excerpt was made whole, and takes its pictures from the folder that it is called with."""

    def __str__(self) -> str:
        """Say it in a few lines."""
        lines = [f"Wrote {self.out}."]
        lines += [f"  mended: {finding.id} {finding.name} ({finding.where})" for finding in self.mended]
        lines += [
            f"  not mended: {finding.id} {finding.name} ({finding.where} of {self.out.name})"
            for finding in self.left
        ]
        waiting = sorted({finding.id for finding in self.left} & OF_A_STEP, key=lambda id: int(id[1:]))
        if self.why and waiting:
            lines.append(
                f"  For {listed(waiting)} the training step would be written anew, which --fix cannot do "
                f"here: {self.why}. Each finding says what to do by hand."
            )
        if self.reads_pictures:
            lines.append(f"Run it on a folder of pictures: python {shlex.quote(str(self.out))} FOLDER")
        return "\n".join(lines)


def repair(path: Path, out: Path) -> Repaired:
    """Write a repaired script to `out`, and say which findings it still has; the original stays as it is.

    Raises:
        BadScript: the script cannot be read, or `out` is there already.
    """
    if out.exists() or out.suffix != ".py":
        why = "is there already" if out.exists() else "does not end in .py, as a repaired script does"
        raise BadScript(f"{out} {why}. Name a new file: --fix NEW.py")
    script = understood(path)
    mended_script = mended_text(script)
    out.write_text(
        f"# Repaired from {path.name} by `holofoil doctor --fix`.\n{mended_script}", encoding="utf-8"
    )
    left = diagnose(understood(out))
    still = {finding.id for finding in left}
    mended = [finding for finding in diagnose(script) if finding.id not in still]
    return Repaired(out, mended, left, not_rebuilt(script), READS_PICTURES in mended_script)
