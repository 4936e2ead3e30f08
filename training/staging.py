"""A folder that becomes another, whole or not at all."""

import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def staged(out: Path) -> Generator[Path]:
    """Lend a folder that becomes `out` if all goes well, and vanishes otherwise."""
    staging = out.with_name(f".{out.name}.{os.getpid()}.part")
    staging.mkdir(parents=True)
    try:
        yield staging
        staging.rename(out)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
