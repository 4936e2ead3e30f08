"""gateway.lock, of which the gateway's image is made: the gateway's part of constraints.txt, by hash."""

import re
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCK = (ROOT / "gateway.lock").read_text().replace("\\\n", "")


def pins(text: str) -> dict[str, str]:
    found = (Requirement(line.split("--hash")[0]) for line in text.splitlines() if line.strip())
    return {canonicalize_name(pin.name): str(pin.specifier) for pin in found}


def needed() -> set[str]:
    """Everything that the gateway requires, directly or not, on this machine."""
    todo = [Requirement(line) for line in PROJECT["dependencies"] + PROJECT["optional-dependencies"]["redis"]]
    found: set[str] = set()
    while todo:
        requirement = todo.pop()
        extras = ["", *requirement.extras]
        if requirement.marker is not None and not requirement.marker.evaluate():
            continue
        found.add(canonicalize_name(requirement.name))
        for line in metadata.requires(requirement.name) or []:
            inner = Requirement(line)
            wanted = inner.marker is None or any(inner.marker.evaluate({"extra": extra}) for extra in extras)
            if wanted and canonicalize_name(inner.name) not in found:
                inner.marker = None
                todo.append(inner)
    return found


def test_every_pin_has_hashes():
    for line in LOCK.splitlines():
        assert re.fullmatch(r"[^ ]+==[^ ]+ (; [^-]+ )?( *--hash=sha256:[0-9a-f]{64})+", line), line


def test_its_versions_are_those_of_constraints():
    everywhere = pins((ROOT / "constraints.txt").read_text())
    assert pins(LOCK).items() <= everywhere.items()


def test_it_has_all_that_the_gateway_needs():
    assert needed() <= set(pins(LOCK))


@pytest.mark.parametrize("heavy", ["tensorflow", "keras", "scipy"])
def test_it_has_nothing_of_training(heavy):
    assert heavy not in pins(LOCK)
