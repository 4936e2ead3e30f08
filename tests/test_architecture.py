"""What import-linter cannot see: what a running gateway has really imported."""

import json
import subprocess
import sys
from pathlib import Path

from tests.fakes.tfserving import serve_models

ROOT = Path(__file__).parents[1]
HEAVY = {"tensorflow", "tensorflow_serving", "keras", "training"}


def roots_after(program: str, *arguments: str) -> set[str]:
    """Return the packages that a fresh interpreter holds after a program."""
    return {name.partition(".")[0] for name in modules_after(program, *arguments)}


def modules_after(program: str, *arguments: str) -> set[str]:
    """Return the modules that a fresh interpreter holds after a program."""
    tail = "\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program + tail, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_a_gateway_in_front_of_tf_serving_works_without_tensorflow():
    walk = """
import sys
from starlette.testclient import TestClient
from serving.app import create_app
from serving.settings import Settings

with TestClient(create_app(Settings(tfserving=sys.argv[1]))) as client:
    client.get("/readyz").raise_for_status()
    card = client.post("/generate", json={"seed": 1}, headers={"Accept": "image/png"}).raise_for_status()
    client.post("/score", files={"files": ("card.png", card.content)}).raise_for_status()
"""
    with serve_models(ROOT / "tests" / "golden" / "models") as stand_in:
        roots = roots_after(walk, stand_in.target)
        assert stand_in.calls["predict"] == 2
    assert {"grpc", "google", "fastapi"} <= roots
    assert not roots & HEAVY


def test_importing_the_gateway_imports_no_tensorflow():
    files = sorted(path.relative_to(ROOT) for path in (ROOT / "serving").rglob("*.py"))
    imports = "".join(f"import {'.'.join(file.with_suffix('').parts)}\n" for file in files)
    assert {"import serving.embedded", "import serving.routes.score"} <= set(imports.splitlines())
    assert not roots_after(imports) & HEAVY


def test_a_command_waits_for_no_server_and_a_key_for_nothing():
    server = {"fastapi", "grpc", "starlette", "uvicorn", "prometheus_client", "opentelemetry"}
    run = "import serving.__main__ as gateway\ngateway.main(sys.argv[1:])"
    key = roots_after("import sys\n" + run, "key", "alice")
    assert not key & (server | {"httpx", "numpy", "PIL", "pydantic"})
    ready = roots_after("import sys\n" + run, "ready", "--url", "http://127.0.0.1:9", "--timeout", "0.1")
    assert "httpx" in ready
    assert not ready & server


def test_importing_the_contract_and_the_cards_imports_no_other_room():
    # What they import themselves, import-linter no longer follows behind the imports that training may make.
    modules = modules_after("import serving.contract, serving.cards")
    rooms = {name.partition(".")[2] for name in modules if name.startswith("serving.")}
    assert rooms == {"bombs", "cards", "contract", "png"}
    assert not {name.partition(".")[0] for name in modules} & (
        HEAVY | {"fastapi", "grpc", "uvicorn", "pydantic"}
    )
