"""The stand-in for TF Serving as a process of its own, which can be told to misbehave.

python -m tests.fakes.model_server STORE [PORT] prints where it listens, then obeys what is written to it:
`delay SECONDS`, `garbage`, `nan` and `well`, one a line, each acknowledged by the same line.
"""

# tensorflow-serving-api makes its classes at run time, where no type checker sees them.
# pyright: reportAttributeAccessIssue=false, reportInvalidTypeForm=false

import sys
import threading
from pathlib import Path

import numpy as np
from tensorflow.core.framework import types_pb2
from tensorflow_serving.apis.predict_pb2 import PredictResponse

from tests.fakes.tfserving import StandIn, serve_models


def garbage(_: PredictResponse) -> bytes:
    """Answer with bytes that are no message."""
    return b"\xff" * 64


def nan(response: PredictResponse) -> None:
    """Make every number that can be NaN one."""
    for tensor in response.outputs.values():
        if tensor.dtype == types_pb2.DT_FLOAT:
            count = len(tensor.tensor_content) // 4
            tensor.tensor_content = np.full(count, np.nan, np.float32).tobytes()


SPOILT = {"garbage": garbage, "nan": nan}


def obey(stand_in: StandIn, order: str) -> None:
    """Misbehave from now on as ordered, or well again."""
    word, _, rest = order.partition(" ")
    stand_in.delay = float(rest) if word == "delay" else 0.0
    stand_in.spoil = SPOILT.get(word)


def main(models: Path, port: int) -> None:
    """Serve until a signal comes, or obey until nobody gives orders any more."""
    with serve_models(models, tensor_content=True, port=port) as stand_in:
        sys.stdout.write(f"{stand_in.target}\n")
        sys.stdout.flush()
        for line in sys.stdin:
            obey(stand_in, line.strip())
            sys.stdout.write(line)
            sys.stdout.flush()
        threading.Event().wait()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if sys.argv[2:] else 0)
