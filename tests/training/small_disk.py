"""A disk that takes only small files, made by the limit that a process can set itself."""

import subprocess
import sys
from pathlib import Path


def holofoil(*arguments: object, most_bytes: int) -> subprocess.CompletedProcess[str]:
    """Run a command where no file may grow beyond so many bytes."""
    program = f"""
import resource, sys
from training.__main__ import main

resource.setrlimit(resource.RLIMIT_FSIZE, ({most_bytes}, resource.RLIM_INFINITY))
sys.argv = ["holofoil", *{[str(argument) for argument in arguments]!r}]
main()
"""
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)


def resume(data: Path, run: Path, images: int, most_bytes: int) -> subprocess.CompletedProcess[str]:
    """Go on with a run there."""
    return holofoil("train", data, run, "--resume", "--images", images, most_bytes=most_bytes)
