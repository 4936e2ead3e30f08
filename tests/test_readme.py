"""The README cannot fall behind: every command and every setting stands in it."""

import re
from pathlib import Path

import pytest

from serving.settings import Settings
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
