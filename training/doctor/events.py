"""TensorBoard's event files, read record by record: scalars of both versions, all else passed over."""

import heapq
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from serving.quiet import start_up_notes_dropped
from training.doctor.rows import Remark, Row
from training.doctor.runs import BadLog

if TYPE_CHECKING:
    from tensorflow.core.framework.summary_pb2 import Summary

FILES = 64
"""Event files that are read as one log; each is kept open."""
STEP = "step"

Scalar = tuple[int, str, float]


def are_events(head: bytes) -> bool:
    """Tell event files by their first record, which names their version."""
    return b"brain.Event:" in head[:64]


def rows(files: Sequence[Path], folder: Path, remark: Remark) -> Iterator[Row]:
    """Yield the scalars of each step of all files, the column "step" among them, in the order of the steps.

    Where two files tell of the same step, as after a run was resumed, the later one counts. Memory holds the
    largest record of each file.
    """
    places = {file.parent for file in files}
    named = {place: f"{place.relative_to(folder)}/" if len(places) > 1 else "" for place in places}
    streams = [scalars(file, named[file.parent], remark) for file in files]
    merged = heapq.merge(*streams, key=lambda scalar: scalar[0])
    for step, group in groupby(merged, key=lambda scalar: scalar[0]):
        yield {STEP: float(step)} | {tag: value for _, tag, value in group}


def scalars(file: Path, prefix: str, remark: Remark) -> Iterator[Scalar]:
    """Yield step, tag and value of each scalar of one file."""
    with start_up_notes_dropped():
        from tensorflow.core.util.event_pb2 import Event

    for record in records(file, remark):
        event = Event.FromString(record)
        for value in event.summary.value:
            if (read := scalar(value)) is not None:
                yield event.step, prefix + value.tag, read


def scalar(value: "Summary.Value") -> float | None:
    """Return the number of a summary: simple_value in version 1, a tensor of one number in version 2."""
    import tensorflow as tf

    if value.HasField("simple_value"):
        return value.simple_value
    if not value.HasField("tensor") or value.tensor.dtype == tf.string.as_datatype_enum:
        return None
    if any(side.size != 1 for side in value.tensor.tensor_shape.dim):
        return None
    return float(tf.make_ndarray(value.tensor).item())


def records(file: Path, remark: Remark) -> Iterator[bytes]:
    """Yield the records of a file as far as they can be read. Raises BadLog if it cannot be opened."""
    import tensorflow as tf

    try:
        yield from tf.data.TFRecordDataset(str(file)).as_numpy_iterator()
    except tf.errors.DataLossError as error:
        if "truncated" in str(error):
            remark(f"The last record of {file.name} is cut: the run seems to be still writing it.")
        else:
            remark(f"{file.name} is damaged, and was read up to there ({error.message}).")
    except tf.errors.OpError as error:
        from training.refusals import refusal_of

        raise BadLog(refusal_of(error, f"{file} cannot be read")) from error
