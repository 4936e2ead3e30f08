"""What TensorBoard reads of a run: each line of its log once, also when it goes on from a checkpoint."""

import json
import shutil

import pytest
import tensorflow as tf
from tensorflow.core.util.event_pb2 import Event

from training import train
from training.board import Board
from training.run import Run


def events(run: Run) -> list[Event]:
    """The events of the run's only file, which is whole."""
    (file,) = (run.folder / "tensorboard").glob("*tfevents*")
    return [Event.FromString(record) for record in tf.data.TFRecordDataset(str(file)).as_numpy_iterator()]


def test_a_run_that_goes_on_has_every_line_of_its_log_once(tiny_run, tmp_path):
    shutil.copytree(tiny_run.run, tmp_path / "run")
    run = Run.open(tmp_path / "run")
    known = len(events(run))
    run.log({"step": 7, "images": 56, "d_loss": 1000.0})  # it was killed before its next checkpoint
    Board(run).add({"step": 8, "images": 64, "d_loss": 1000.0})
    assert len(events(run)) == known + 2
    train.resume(tiny_run.data, run.folder, images=80)
    lines = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    version, start, *told = events(run)
    assert version.file_version == "brain.Event:2"
    assert start.session_log.status == start.session_log.START
    assert [event.step for event in told] == [line["step"] for line in lines]
    assert len({event.step for event in told}) == len(told) > known - 2
    for event, line in zip(told, lines, strict=True):
        values = {value.tag: value.simple_value for value in event.summary.value}
        assert values == pytest.approx({name: line[name] for name in line.keys() - {"step"}}, rel=1e-6)
