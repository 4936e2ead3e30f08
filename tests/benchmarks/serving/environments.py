"""The contenders' virtual environments, one each, made at the first need and kept in an ignored folder."""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

APPS = Path(__file__).parent / "apps"
FOLDER = Path(__file__).parents[3] / ".contenders"


class CannotInstall(Exception):
    """pip could not make an environment; the message ends with its last line."""


def python_of(name: str) -> Path:
    """Return the interpreter that has what apps/NAME.txt pins. Raises CannotInstall."""
    folder, pins = FOLDER / name, APPS / f"{name}.txt"
    python, done = folder / "bin" / "python", folder / "pins"
    wanted = hashlib.sha256(pins.read_bytes()).hexdigest()
    if not done.exists() or done.read_text() != wanted:
        print(f"Installing {name} into {folder} (once)", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        pip = [
            python,
            "-m",
            "pip",
            "--disable-pip-version-check",
            "--quiet",
            "install",
            "--requirement",
            pins,
        ]
        installed = subprocess.run(pip, capture_output=True, text=True)
        if installed.returncode:
            raise CannotInstall(f"cannot be installed here: {installed.stderr.strip().splitlines()[-1]}")
        done.write_text(wanted)
    return python
