"""A folder that becomes another, whole or not at all, also after a power cut."""

import os
import shutil
import uuid
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def staged(out: Path) -> Generator[Path]:
    """Lend a folder that becomes `out` if all goes well, and vanishes otherwise."""
    staging = out.with_name(f".{out.name}.{uuid.uuid4().hex[:8]}.part")
    staging.mkdir(parents=True)
    try:
        yield staging
        for path in (*staging.rglob("*"), staging):
            sync(path)
        staging.rename(out)
        sync(out.parent)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def sync(path: Path) -> None:
    """Have the disk hold a file, or a folder's entries, before anyone is told of it."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
