"""The README cannot fall behind: every command and every setting stands in it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from serving.settings import Settings
from serving.shell import COMMANDS as GATEWAY_COMMANDS
from tests.fakes.backend import FakeBackend
from tests.fakes.live import live
from training.__main__ import COMMANDS
from training.audit.rules import NAMES

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_in_the_readme(command):
    assert f"holofoil {command}" in README


def test_every_fault_an_audit_knows_is_in_the_readme():
    words = " ".join(README.split())
    assert all(f"{id} {name}" in words for id, name in NAMES.items())


@pytest.mark.parametrize("setting", Settings.model_fields)
def test_every_setting_is_in_the_readme(setting):
    assert f"`HOLOFOIL_{setting.upper()}`" in README


def test_every_target_the_readme_names_is_in_the_makefile():
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"\bmake ([a-z-]+)", README))
    assert {"serve", "test"} <= targets
    assert all(re.search(rf"^{target}:", makefile, re.M) for target in targets)


@pytest.mark.parametrize("page", ["README.md", "ARCHITECTURE.md", "training/LOG.md", "training/ANSWERS.md"])
def test_every_file_that_a_page_links_to_exists(page):
    text = (ROOT / page).read_text()
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert ((ROOT / page).parent / target).exists(), target


def test_every_room_is_in_the_architecture():
    text = (ROOT / "ARCHITECTURE.md").read_text()
    for package in ("serving", "training"):
        for path in (ROOT / package).rglob("*.py"):
            named = path.name in text or path.name.startswith(("sample_", "rules_"))
            assert named or path.name == "__init__.py", path.name


@pytest.mark.parametrize("command", GATEWAY_COMMANDS)
def test_every_command_of_the_gateway_is_in_the_readme(command):
    assert f"holofoil-gateway {command}" in README


def example(language: str) -> str:
    """Return the README's one block of a language."""
    (block,) = re.findall(rf"^```{language}\n(.*?)^```$", README, re.M | re.S)
    return block


def ran(program: list[str], folder: Path, **environment: str) -> str:
    """Run an example in a folder of its own, on this checkout, and return what it printed."""
    done = subprocess.run(
        program,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_the_python_example_runs(tmp_path):
    with live(FakeBackend()) as url:
        assert "http://127.0.0.1:8000" in example("python")
        program = example("python").replace("http://127.0.0.1:8000", url)
        printed = ran([sys.executable, "-c", program], tmp_path).splitlines()
    assert [line.split()[0] for line in printed[:3]] == ["card.png", "1.png", "2"]
    assert printed[3].endswith("['/files/1']")
    assert {path.name for path in tmp_path.iterdir()} == {"large.png", "card.png", "morph.webp"}


def test_the_shell_example_runs(tmp_path):
    program = tmp_path / "bin" / "holofoil-gateway"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m serving "$@"\n')
    program.chmod(0o755)
    path = f"{program.parent}:{os.environ['PATH']}"
    with live(FakeBackend()) as url:
        printed = ran(
            ["bash", "-euo", "pipefail", "-c", example("sh")], tmp_path, HOLOFOIL_URL=url, PATH=path
        )
    cards = [f"card-{seed}.png" for seed in range(42, 58)]
    assert sorted(path.name for path in (tmp_path / "cards").iterdir()) == cards
    lines = printed.splitlines()
    assert lines[:16] == [f"cards/{card}" for card in cards]
    assert lines[16].split()[0] == "percentile"
    assert '"filename":"cards/card-42.png"' in lines[18]
    assert lines[19] == "morph.webp"
    assert lines[20].startswith("ready: ")
