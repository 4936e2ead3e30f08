import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from training.doctor.log_file import open_log
from training.doctor.logs import examine
from training.doctor.rows import Row
from training.doctor.runs import BadLog

ROOT = Path(__file__).parents[2]


def scalars(values: dict[str, float]) -> tf.compat.v1.Summary:
    """Return scalars as version 1 and PyTorch write them."""
    kind = tf.compat.v1.Summary
    return kind(value=[kind.Value(tag=tag, simple_value=value) for tag, value in values.items()])


def picture(bytes_: int, seed: int) -> tf.compat.v1.Summary:
    noise = np.random.default_rng(seed).bytes(bytes_)
    kind = tf.compat.v1.Summary
    return kind(value=[kind.Value(tag="cards", image=kind.Image(encoded_image_string=noise))])


def write(folder: Path, name: str, summaries: list[tuple[int, tf.compat.v1.Summary]]) -> Path:
    """Write an event file through TensorFlow's own writer of records."""
    folder.mkdir(exist_ok=True, parents=True)
    path = folder / f"events.out.tfevents.{name}"
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(tf.compat.v1.Event(file_version="brain.Event:2").SerializeToString())
        for step, summary in summaries:
            writer.write(tf.compat.v1.Event(step=step, summary=summary).SerializeToString())
    return path


def read(path: Path) -> tuple[list[Row], list[str]]:
    remarks: list[str] = []
    return list(open_log(path).read(remarks.append)), remarks


def test_scalars_of_version_1_are_read_and_all_else_is_passed_over(tmp_path: Path):
    path = write(
        tmp_path,
        "1",
        [(0, scalars({"d": 0.5})), (0, scalars({"g": 2.0})), (1, picture(100, 0)), (7, scalars({"d": 0.25}))],
    )
    assert read(path) == ([{"step": 0, "d": 0.5, "g": 2.0}, {"step": 7, "d": 0.25}], [])


def test_scalars_of_version_2_are_read_and_texts_and_histograms_passed_over(tmp_path: Path):
    with tf.summary.create_file_writer(str(tmp_path)).as_default():
        tf.summary.write("d", tf.constant(0.5), 3)
        tf.summary.write("g", tf.constant([2], tf.int64), 3)
        tf.summary.write("text", tf.constant("0.7"), 3)
        tf.summary.write("histogram", tf.ones((10, 3)), 3)
    assert read(tmp_path) == ([{"step": 3, "d": 0.5, "g": 2.0}], [])


def test_all_files_of_a_folder_are_merged_by_step_the_later_going_before(tmp_path: Path):
    write(tmp_path, "1", [(step, scalars({"d": 1.0})) for step in range(4)])
    write(tmp_path, "2", [(step, scalars({"d": 2.0, "g": 3.0})) for step in range(2, 6)])
    rows = read(tmp_path)[0]
    assert [row["step"] for row in rows] == [0, 1, 2, 3, 4, 5]
    assert [row["d"] for row in rows] == [1, 1, 2, 2, 2, 2]


def test_files_of_several_folders_keep_their_names_apart(tmp_path: Path):
    write(tmp_path / "train", "1", [(0, scalars({"d_loss": 1.0}))])
    write(tmp_path / "validation", "1", [(0, scalars({"d_loss": 2.0}))])
    assert read(tmp_path)[0] == [{"step": 0, "train/d_loss": 1.0, "validation/d_loss": 2.0}]


def test_a_record_still_being_written_is_told_and_those_before_it_are_read(tmp_path: Path):
    path = write(tmp_path, "1", [(step, scalars({"d": float(step)})) for step in range(5)])
    whole = path.read_bytes()
    for cut in (1, 5, 15):
        path.write_bytes(whole[:-cut])
        rows, remarks = read(path)
        assert [row["d"] for row in rows] == [0, 1, 2, 3]
        assert "still writing" in remarks[0]


def test_a_damaged_file_is_read_up_to_there(tmp_path: Path):
    path = write(tmp_path, "1", [(step, scalars({"d": float(step)})) for step in range(5)])
    content = bytearray(path.read_bytes())
    content[-10] ^= 1
    path.write_bytes(bytes(content))
    rows, remarks = read(path)
    assert len(rows) == 4
    assert "damaged" in remarks[0]


def test_events_that_are_none_and_files_of_many_runs_get_a_clear_answer(tmp_path: Path):
    only_pictures = write(tmp_path / "pictures", "1", [(0, picture(100, 0))])
    with pytest.raises(BadLog, match="holds no numbers"):
        examine(only_pictures)
    write(tmp_path / "other", "1", []).write_bytes(b"no records, whatever the name says")
    with pytest.raises(BadLog, match="holds no numbers"):
        examine(tmp_path / "other")
    for index in range(65):
        (tmp_path / f"other/x.tfevents.{index}").touch()
    with pytest.raises(BadLog, match="folder of one run"):
        examine(tmp_path / "other")


def test_an_event_file_that_the_system_refuses_is_named(tmp_path: Path):
    (tmp_path / "x.tfevents").symlink_to("/proc/self/mem")
    with pytest.raises(BadLog, match=r"x\.tfevents cannot be read"):
        examine(tmp_path)


MEASURE = """
import re, sys
from pathlib import Path
from training.doctor.logs import read
for log in sys.argv[1:]:
    read(Path(log))
    # Not getrusage: a child begins with the peak of the process that forked it.
    print(*re.findall(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text()))
"""


def test_memory_holds_a_record_and_not_the_file(tmp_path: Path):
    """300 pictures of 400 kB each add no more than a few of them."""
    losses = [(step, scalars({"d_loss": 0.5, "g_loss": 1.0})) for step in range(100)]
    small = write(tmp_path, "small", losses)
    large = write(tmp_path, "large", [*losses, *((step, picture(400_000, step)) for step in range(300))])
    command = [sys.executable, "-c", MEASURE, str(small), str(large)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    before, after = (int(number) for number in re.findall(r"^\d+$", ran.stdout, re.MULTILINE))
    assert large.stat().st_size > 120_000_000
    assert (after - before) * 1024 < large.stat().st_size / 3
