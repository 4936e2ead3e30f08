"""A folder that becomes another: whole or not at all, also after a power cut."""

import os

import pytest

from tests.fakes import disk
from training.staging import staged


def test_all_that_a_folder_holds_is_on_the_disk_before_it_has_its_name_and_then_the_name_is(tmp_path):
    with disk.watched() as asked, staged(tmp_path / "out") as staging:
        (staging / "deep").mkdir()
        (staging / "deep" / "file").write_text("whole")
    named = asked.index(("named", tmp_path / "out"))
    before = {path for what, path in asked[:named] if what == "opened"}
    assert before >= {staging, staging / "deep", staging / "deep" / "file"}
    assert ("opened", tmp_path) in asked[named:]


def test_a_folder_is_made_where_none_was_by_two_who_do_not_meet_and_leave_nothing_open(tmp_path):
    out, opened = tmp_path / "new" / "out", len(os.listdir("/proc/self/fd"))
    with staged(out) as one, staged(out) as other:
        assert one != other
    assert [path.name for path in out.parent.iterdir()] == ["out"]
    assert len(os.listdir("/proc/self/fd")) == opened


def test_what_no_disk_takes_becomes_no_folder(tmp_path):
    with pytest.raises(OSError, match="Invalid argument"), staged(tmp_path / "out") as staging:
        (staging / "nothing").symlink_to(os.devnull)  # can be opened, and not synced
    assert list(tmp_path.iterdir()) == []
