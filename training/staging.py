"""Writing a folder whole or not at all, even if the power fails."""

import os
import shutil
import uuid
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def staged(out: Path) -> Generator[Path]:
    """Yield a new folder to fill; it is renamed to `out` if all goes well, and removed otherwise."""
    staging = out.with_name(f".{out.name}.{uuid.uuid4().hex[:8]}.part")
    staging.mkdir(parents=True)
    try:
        yield staging
        sync_tree(staging)
        staging.rename(out)
        sync(out.parent)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def sync_tree(folder: Path) -> None:
    """Wait until a folder and all in it are on the disk."""
    for path in (*folder.rglob("*"), folder):
        sync(path)


def sync(path: Path) -> None:
    """Wait until a file, or a folder's list of entries, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
