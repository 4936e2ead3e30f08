"""Has schemathesis ask a real gateway with the starter models whatever OpenAPI allows and forbids."""

import os
import subprocess
import sys
import time
from pathlib import Path

import httpx

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
        wait_until_ready(url)
        command = f"run {url}/openapi.json --request-timeout 30 --phases examples,coverage,fuzzing --no-color"
        asked = subprocess.run(
            [sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG), *command.split()],
            env=os.environ | {"NO_PROXY": "127.0.0.1"},
            check=False,
        )
        return asked.returncode
    finally:
        gateway.terminate()
        gateway.wait(30)


def wait_until_ready(url: str) -> None:
    """Ask until the models answer."""
    with httpx.Client(base_url=url, trust_env=False, timeout=30) as client:
        while client.get("/readyz").status_code != 200:
            time.sleep(0.5)


if __name__ == "__main__":
    sys.exit(main())
