"""A disk that takes only small files, or opens none, made by the limits that a process can set itself."""

import contextlib
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def small_files(most_bytes: int) -> Iterator[None]:
    """Let no file of this process grow beyond so many bytes meanwhile."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextlib.contextmanager
def no_more_files() -> Iterator[None]:
    """Let this process open nothing meanwhile, as where it has too many files open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def resume(data: Path, run: Path, images: int, most_bytes: int) -> subprocess.CompletedProcess[str]:
    """Go on with a run there, as a command."""
    program = f"""
import sys
from tests.training.small_disk import small_files
from training.__main__ import main

sys.argv = ["holofoil", "train", {str(data)!r}, {str(run)!r}, "--resume", "--images", "{images}"]
with small_files({most_bytes}):
    main()
"""
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
