"""Run in the gateway's container: what a program there may do, and what it finds."""

import importlib.util
import json
import os
import sys
from pathlib import Path

UNWANTED = ("tensorflow", "keras", "training", "pip", "serving.models")


def writes(folder: str | Path) -> bool:
    """Whether a file can be made in a folder."""
    try:
        Path(folder, "probe").touch()
    except OSError:
        return False
    return True


def main() -> None:
    """Print what was found as JSON."""
    status = Path("/proc/self/status").read_text().splitlines()
    has = dict(line.split(":\t", 1) for line in status if ":\t" in line)
    found = importlib.util.find_spec("serving")
    serving = Path(str(found and found.origin)).parent
    report = {
        "user": os.getuid(),
        "rights": has["CapBnd"],
        "can get more": has["NoNewPrivs"] == "0",
        "writes to": [str(folder) for folder in ("/", "/tmp", serving) if writes(folder)],
        "holds": [name for name in UNWANTED if importlib.util.find_spec(name)],
    }
    sys.stdout.write(json.dumps(report))


main()
