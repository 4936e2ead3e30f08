"""The stand-in against what a real TF Serving answered."""

# tensorflow-serving-api makes its classes at run time, where no type checker sees them.
# pyright: reportAttributeAccessIssue=false, reportInvalidTypeForm=false

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2, predict_pb2

from tests.fakes.tfserving import StandIn, serve_models

GOLDEN = Path(__file__).parents[1] / "golden"
RECORDINGS = {
    name: json.loads((GOLDEN / f"{name}.json").read_text()) for name in ("default", "tensor_content")
}

MADE_BY_GRPC = ("unparsable_request", "unknown_method", "unknown_service", "health_check_not_enabled")
# The wheel's MatMul, oneDNN's, finds the same fault in other words than the server's did.
MADE_BY_ANOTHER_KERNEL = ("noise_rank_1", "noise_rank_3", "noise_scalar")
LABELLED = ("version_label_stable", "status_label", "status_unknown_label", "metadata_label")
"""The stand-in has no labels, and the gateway sends none."""


@pytest.fixture(scope="module", params=RECORDINGS)
def recorded(request: pytest.FixtureRequest) -> Iterator[tuple[StandIn, list[dict[str, str]]]]:
    with serve_models(GOLDEN / "models", tensor_content=request.param == "tensor_content") as stand_in:
        yield stand_in, RECORDINGS[request.param]["cases"]


def replay(stand_in: StandIn, case: dict[str, str]) -> tuple[str, str, bytes]:
    with grpc.insecure_channel(stand_in.target) as channel:
        call = channel.unary_unary(case["rpc"])
        try:
            return "OK", "", call(base64.b64decode(case["request_b64"]), timeout=20)
        except grpc.RpcError as error:
            return error.code().name, error.details() or "", b""


def test_the_stand_in_refuses_as_tf_serving_does(recorded):
    stand_in, cases = recorded
    refused = [case for case in cases if case["code"] != "OK"]
    assert len(refused) > 40
    for case in refused:
        code, details, _ = replay(stand_in, case)
        assert code == case["code"], case["name"]
        if case["name"] not in MADE_BY_GRPC + MADE_BY_ANOTHER_KERNEL:
            # A kernel's text goes on with the graph's nodes.
            assert details.split("\n")[0] == case["details"].split("\n")[0], case["name"]


def test_the_stand_in_answers_as_tf_serving_does(recorded):
    stand_in, cases = recorded
    answered = [case for case in cases if case["code"] == "OK" and case["name"] not in LABELLED]
    assert len(answered) > 25
    for case in answered:
        code, details, data = replay(stand_in, case)
        assert code == "OK", (case["name"], details)
        response = type_of_answer(case)
        compare(
            case["name"],
            response.FromString(data),
            response.FromString(base64.b64decode(case["response_b64"])),
        )


def type_of_answer(case: dict[str, str]) -> Any:
    return {
        "Predict": predict_pb2.PredictResponse,
        "GetModelStatus": get_model_status_pb2.GetModelStatusResponse,
        "GetModelMetadata": get_model_metadata_pb2.GetModelMetadataResponse,
    }[case["rpc"].rpartition("/")[2]]


def compare(name: str, mine: Any, real: Any) -> None:
    assert getattr(mine, "model_spec", None) == getattr(real, "model_spec", None), name
    if isinstance(real, predict_pb2.PredictResponse):
        assert set(mine.outputs) == set(real.outputs), name
        for output, tensor in real.outputs.items():
            compare_tensors(f"{name}: {output}", mine.outputs[output], tensor)
    elif isinstance(real, get_model_metadata_pb2.GetModelMetadataResponse):
        assert signatures(mine) == signatures(real), name
    else:
        assert mine == real, name


def signatures(response: get_model_metadata_pb2.GetModelMetadataResponse) -> Any:
    found = get_model_metadata_pb2.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(found)
    return found


def compare_tensors(name: str, mine: Any, real: Any) -> None:
    assert (mine.dtype, mine.tensor_shape) == (real.dtype, real.tensor_shape), name
    # In the same field of TensorProto.
    assert [field.name for field, _ in mine.ListFields()] == [field.name for field, _ in real.ListFields()], (
        name
    )
    if real.dtype == tf.string.as_datatype_enum:
        assert mine == real, name
        return
    a, b = tf.make_ndarray(mine), tf.make_ndarray(real)
    if name.startswith(("nan_in_noise", "inf_in_noise")):
        a, b = a[:-1], b[:-1]
    np.testing.assert_allclose(a, b, rtol=2e-6 if "probability" in name else 0, err_msg=name)


def fields(tensor: Any) -> list[str]:
    return [field.name for field, _ in tensor.ListFields()]
