"""Has schemathesis ask a real gateway with the starter models whatever OpenAPI allows and forbids."""

import os
import subprocess
import sys
from pathlib import Path

CONFIG = Path(__file__).with_name("schemathesis.toml")


def main() -> int:
    """Start the gateway on a free port, ask, and return 0 if every answer was as OpenAPI says."""
    gateway = subprocess.Popen(
        [sys.executable, "-m", "serving"],
        env=os.environ | {"HOLOFOIL_PORT": "0", "TF_CPP_MIN_LOG_LEVEL": "3"},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert gateway.stdout
        url = gateway.stdout.readline().removeprefix("Holofoil: ").strip()
        command = f"run {url}/openapi.json --wait-for-schema 60 --phases examples,coverage,fuzzing --no-color"
        asked = subprocess.run(
            [sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG), *command.split()],
            env=os.environ | {"NO_PROXY": "127.0.0.1"},
            check=False,
        )
        return asked.returncode
    finally:
        gateway.terminate()
        gateway.wait(30)


if __name__ == "__main__":
    sys.exit(main())
