"""What TensorBoard reads of a run: tensorboard/, the numbers of metrics.jsonl as an event file."""

import shutil
import time
from collections.abc import Iterable, Mapping

import tensorflow as tf
from tensorflow.core.framework.summary_pb2 import Summary
from tensorflow.core.util.event_pb2 import Event, SessionLog

from training.doctor.runs import metrics_of
from training.refusals import refusal_of
from training.run import BadRun, Run


class Board:
    """The event file of a run: one event for each line of its log, so that it has each step once.

    It is written anew from the log whenever a run begins, goes on or goes back, for an event file cannot
    forget what came after a checkpoint.
    """

    def __init__(self, run: Run) -> None:
        """Write what the run has logged so far. Raises BadRun where the disk does not take it."""
        self.folder, self.writes = run.folder / "tensorboard", run.writes
        if not self.writes:
            return
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        # Another name each time: TensorBoard reads on where it stopped in a file that it knows.
        self.file = tf.io.TFRecordWriter(str(self.folder / f"events.out.tfevents.{time.time_ns()}.holofoil"))
        # A TensorBoard that is open drops what it has read from this step on, as at any restart.
        start = Event(step=0, session_log=SessionLog(status=SessionLog.START))
        self.write([Event(file_version="brain.Event:2"), start])
        self.write(event(line) for line in metrics_of(run.metrics))

    def add(self, line: Mapping[str, float]) -> None:
        """Append one line of the log. Raises BadRun where the disk does not take it."""
        if self.writes:
            self.write([event(line)])

    def write(self, events: Iterable[Event]) -> None:
        """Append events, stamped with the time."""
        try:
            for event in events:
                event.wall_time = time.time()
                self.file.write(event.SerializeToString())
            self.file.flush()
        except tf.errors.OpError as error:
            raise BadRun(
                f"{refusal_of(error, f'{self.folder} could not be written')} Then go on with --resume."
            ) from None


def event(line: Mapping[str, float]) -> Event:
    """Return a line of the log as an event: all of its numbers but the step, which is where they stand."""
    values = [Summary.Value(tag=name, simple_value=value) for name, value in line.items() if name != "step"]
    return Event(step=int(line.get("step", 0)), summary=Summary(value=values))
