"""What gRPC's statuses mean when TF Serving is called. Some can be told apart by their details alone."""

import grpc
import grpc.aio

from serving.backend import BackendError, BadAnswer, DeadlineExceeded, NotReady, Unavailable
from serving.contract import MAX_ROWS

QUEUE_FULL = "batch scheduling queue"
QUEUE_TIMEOUT = "timeout exceeded while waiting in batching queue"
TOO_MANY_ROWS = "larger than maximum input batch size"
MESSAGE_TOO_LARGE = "message larger than max"
OUT_OF_MEMORY = "OOM when allocating"
NO_SIGNATURE = "Serving signature key"

LESS_WORK = "Try again in a moment, or ask for fewer cards at once."
SEE_LOG = "If it stays so, the operator finds the reason in the gateway's log."
AWAY = f"The model server cannot be reached. Try again in a few seconds. {SEE_LOG}"
EXPORT = "Export a pair with `holofoil export RUN STORE`, and see that TF Serving is configured to load it."


def cannot_be_reached(error: grpc.aio.AioRpcError) -> bool:
    """Whether nobody is there. A server whose queue is full answers with the same status."""
    return error.code() == grpc.StatusCode.UNAVAILABLE and QUEUE_FULL not in (error.details() or "")


def is_overload(error: grpc.aio.AioRpcError) -> bool:
    """Whether the server had too much to do, which tells nothing about its models."""
    return error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED or QUEUE_FULL in (error.details() or "")


def backend_error(code: grpc.StatusCode, details: str, deadline: float) -> BackendError:
    """Return what a status of TF Serving, or of gRPC on its behalf, means to a client."""
    match code.name:
        case "UNAVAILABLE" if QUEUE_FULL not in details:
            return Unavailable(AWAY)
        case "DEADLINE_EXCEEDED":
            return DeadlineExceeded(f"The models took longer than {deadline:.3g} seconds. {LESS_WORK}")
        case "RESOURCE_EXHAUSTED" if QUEUE_TIMEOUT in details:
            return DeadlineExceeded(f"The model server was too busy to answer in time. {LESS_WORK}")
        case "RESOURCE_EXHAUSTED" if MESSAGE_TOO_LARGE in details:
            return BadAnswer(f"The cards are too large to send at once. Ask for fewer. {SEE_LOG}")
        case "RESOURCE_EXHAUSTED" if OUT_OF_MEMORY in details:
            return Unavailable(f"The model server has too little memory. {LESS_WORK} {SEE_LOG}")
        case "UNAVAILABLE" | "RESOURCE_EXHAUSTED":
            return Unavailable(f"The model server has more work than it can take. {LESS_WORK}")
        case "NOT_FOUND":
            return NotReady(f"TF Serving has no version of the models. {EXPORT}")
        case "INVALID_ARGUMENT" if TOO_MANY_ROWS in details:
            return BadAnswer(
                "The model server takes fewer cards at once than this gateway. Ask for fewer, "
                f"or set TF Serving's max_batch_size to {MAX_ROWS}."
            )
        case "FAILED_PRECONDITION" if NO_SIGNATURE in details:
            return BadAnswer(f"TF Serving's models are not made for this gateway. {EXPORT}")
        case _:
            return BadAnswer(f"The model server failed at this request. Try again. {SEE_LOG}")
