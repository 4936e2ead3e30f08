import subprocess
import sys

import pytest

from training.__main__ import COMMANDS


def holofoil(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "training", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_help_lists_every_command_without_loading_tensorflow():
    answer = holofoil("--help")
    assert answer.returncode == 0
    assert all(name in answer.stdout for name in COMMANDS)
    assert "absl" not in answer.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["prepare", "nowhere", "out"], "nowhere is not a folder"),
        (["prepare", ".", "out", "--size", "big"], "WIDTHxHEIGHT"),
        (["prepare", ".", "out", "--size", "30x42"], "multiples of 8"),
        (["sample-cards", "out", "--count", "0"], "at least one card"),
        (["train", "nowhere", "out"], "holofoil prepare FOLDER"),
        (["train", "nowhere", "out", "--resume", "--batch", "4"], "only --images may change"),
        (["train", "nowhere", "out", "--resume", "--augment", "adaptive"], "only --images may change"),
        (["train", "nowhere", "out", "--resume", "--dry-run"], "leave out --resume"),
        (["export", "nowhere", "out"], "holds no run"),
        (["report", "nowhere"], "holds no run"),
    ],
)
def test_what_the_user_can_mend_is_told_without_a_traceback(arguments, words):
    answer = holofoil(*arguments)
    assert answer.returncode == 1
    assert words in answer.stderr
    assert "Traceback" not in answer.stderr


def test_a_disk_that_refuses_is_told_without_a_traceback(tmp_path):
    (tmp_path / "file").touch()
    answer = holofoil("sample-cards", str(tmp_path / "file" / "cards"), "--count", "1")
    assert answer.returncode == 1
    assert "Not a directory" in answer.stderr
    assert "Traceback" not in answer.stderr
