import errno
import json
import os
import subprocess
import sys

import pytest

from training.__main__ import COMMANDS
from training.trouble import refusal


def holofoil(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "training", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_help_lists_every_command_without_loading_tensorflow():
    answer = holofoil("--help")
    assert answer.returncode == 0
    assert all(name in answer.stdout for name in COMMANDS)
    assert "absl" not in answer.stderr


def test_usage_names_folders_as_the_readme_does():
    assert "holofoil train [-h] [TRAIN OPTIONS] DATA RUN" in holofoil("train", "--help").stdout


ONEDNN = """
import os, sys
from training.__main__ import main

loaded = "tensorflow" in sys.modules
sys.argv = ["holofoil", "report", "nowhere"]
try:
    main()
except SystemExit:
    print(loaded, os.environ["TF_ENABLE_ONEDNN_OPTS"])
"""


@pytest.mark.parametrize(("given", "used"), [({}, "1"), ({"TF_ENABLE_ONEDNN_OPTS": "0"}, "0")])
def test_tensorflow_is_told_to_use_onednn_before_it_is_loaded_unless_the_user_chose(given, used):
    environment = {name: value for name, value in os.environ.items() if name != "TF_ENABLE_ONEDNN_OPTS"}
    command = [sys.executable, "-c", ONEDNN]
    ran = subprocess.run(command, env=environment | given, capture_output=True, text=True, timeout=120)
    assert ran.stdout.split() == ["False", used]
    assert ran.stderr.startswith("holofoil: nowhere is not the folder of a run")
    assert ran.stderr.count("\n") == 1  # and none of the notes that TensorFlow starts with


REFUSED = [
    (["prepare", "nowhere", "out"], "nowhere is not a folder"),
    (["prepare", ".", "out", "--size", "big"], "WIDTHxHEIGHT"),
    (["prepare", ".", "out", "--size", "30x42"], "Near it are 28x40 and 32x44"),
    (["sample-cards", "out", "--count", "0"], "at least one card"),
    (["train", "nowhere", "out"], "holofoil prepare FOLDER"),
    (["train", __file__, "out"], "is not a prepared dataset"),
    (["train", "nowhere", __file__], "is a file. Name a folder for the run"),
    (["train", "nowhere", "out", "--resume", "--batch", "4"], "rest: holofoil train nowhere out --resume"),
    (["train", "nowhere", "out", "--resume", "--augment", "adaptive"], "only --images may change"),
    (["train", "nowhere", "out", "--resume", "--dry-run"], "leave out --resume"),
    (["export", "nowhere", "out"], "is not the folder of a run"),
    (["report", "nowhere"], "is not the folder of a run"),
]
ONE_AFTER_ANOTHER = """
import contextlib, io, json, sys
from training.__main__ import main

for arguments in json.loads(sys.argv[1]):
    sys.argv = ["holofoil", *arguments]
    with contextlib.redirect_stderr(io.StringIO()) as errors:
        try:
            main()
        except SystemExit as end:
            print(json.dumps([end.code, errors.getvalue()]))
"""


@pytest.fixture(scope="module")
def answers() -> list[tuple[int, str]]:
    """The exit code and the words of each of REFUSED, from one process: most import TensorFlow first."""
    commands = json.dumps([arguments for arguments, _ in REFUSED])
    command = [sys.executable, "-c", ONE_AFTER_ANOTHER, commands]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    return [json.loads(line) for line in ran.stdout.splitlines()]


@pytest.mark.parametrize("number", range(len(REFUSED)), ids=lambda number: " ".join(REFUSED[number][0]))
def test_what_the_user_can_mend_is_told_without_a_traceback(answers, number):
    status, errors = answers[number]
    assert status == 1
    assert REFUSED[number][1] in errors
    assert "Traceback" not in errors


def test_a_command_ends_its_process_with_the_same_words_and_code():
    answer = holofoil("prepare", "nowhere", "out")
    assert answer.returncode == 1
    assert answer.stderr.startswith("holofoil: nowhere is not a folder.")
    assert answer.stderr.count("\n") == 1


def test_a_command_that_is_done_names_the_next(tmp_path):
    cards, data = tmp_path / "some cards", tmp_path / "data"
    drawn = holofoil("sample-cards", str(cards), "--count", "16")
    assert drawn.stdout == f"Next: holofoil prepare '{cards}' DATA\n"
    prepared = holofoil("prepare", str(cards), str(data))
    assert prepared.stdout.splitlines()[-1] == f"Next: holofoil train {data} RUN"


def test_a_disk_that_refuses_is_told_without_a_traceback(tmp_path):
    (tmp_path / "file").touch()
    answer = holofoil("sample-cards", str(tmp_path / "file" / "cards"), "--count", "1")
    assert answer.returncode == 1
    assert answer.stderr.startswith(f"holofoil: {tmp_path / 'file'}")
    assert "Not a directory. Something else lies in the way" in answer.stderr


def test_a_full_disk_that_names_no_file_is_told_with_the_command():
    error = OSError(errno.ENOSPC, "No space left on device")
    told = refusal(error, "prepare PHOTOS data")
    assert told.startswith("prepare PHOTOS data: No space left on device. Make room on that disk")
    assert refusal(OSError("odd"), "train") == "train: odd."
