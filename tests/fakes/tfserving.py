"""A stand-in for TF Serving: its calls on a real socket, answered as tests/golden shows the real one does.

It runs exported SavedModels in sessions, as the real server does; batching, labels and REST are left out.
By itself: python -m tests.fakes.tfserving STORE [PORT]
"""

# tensorflow-serving-api makes its classes at run time, where no type checker sees them.
# pyright: reportAttributeAccessIssue=false, reportInvalidTypeForm=false

import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2, types_pb2
from tensorflow.core.protobuf import config_pb2, meta_graph_pb2
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2, predict_pb2
from tensorflow_serving.apis.model_pb2 import ModelSpec

Status = grpc.StatusCode
ModelVersionStatus = get_model_status_pb2.ModelVersionStatus

FIELDS = {
    tf.float32: "float_val",
    tf.float64: "double_val",
    tf.int32: "int_val",
    tf.uint8: "int_val",
    tf.int64: "int64_val",
    tf.bool: "bool_val",
    tf.string: "string_val",
}


class Refused(Exception):
    """A call ends with this status and text."""

    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        super().__init__(details)
        self.code = code
        self.details = details


class Servable:
    """One version of a model in a session."""

    def __init__(self, path: Path) -> None:
        self.version = int(path.name)
        graph = tf.Graph()
        self.session = tf.compat.v1.Session(graph=graph)
        with graph.as_default():
            loaded: meta_graph_pb2.MetaGraphDef = tf.compat.v1.saved_model.load(
                self.session, ["serve"], str(path)
            )
        self.signatures = loaded.signature_def
        self.callables: dict[tuple[str, ...], Callable[..., list[np.ndarray]]] = {}

    def predict(
        self, request: predict_pb2.PredictRequest, response: predict_pb2.PredictResponse, *, content: bool
    ) -> None:
        """Fill a response, or raise Refused; the order of the checks is the real server's."""
        name = request.model_spec.signature_name or "serving_default"
        if name not in self.signatures:
            raise Refused(Status.FAILED_PRECONDITION, f'Serving signature key "{name}" not found.')
        signature = self.signatures[name]
        feeds = fed(request, signature)
        outputs = fetched(request, signature)
        results = self.run(feeds, [signature.outputs[name].name for name in outputs])
        response.model_spec.CopyFrom(self.spec(request.model_spec.name, name))
        for name, result in zip(outputs, results, strict=True):
            dtype = tf.as_dtype(signature.outputs[name].dtype)
            response.outputs[name].CopyFrom(encoded(result, dtype, content=content))

    def run(self, feeds: dict[str, np.ndarray], fetches: list[str]) -> list[np.ndarray]:
        # Session.run and make_callable check shapes and cast types, which TF Serving leaves to the graph.
        call = self.callables.get((*feeds, *fetches))
        if call is None:
            options = config_pb2.CallableOptions(feed=list(feeds), fetch=fetches)
            call = self.callables[(*feeds, *fetches)] = self.session._make_callable_from_options(options)
        try:
            return call(*feeds.values())
        except tf.errors.OpError as error:
            number = tf.compat.v1.errors.error_code_from_exception_type(type(error))
            code = next(code for code in Status if code.value[0] == number)
            raise Refused(code, str(error)[:1024]) from None

    def spec(self, model: str, signature: str = "") -> ModelSpec:
        spec = ModelSpec(name=model, signature_name=signature)
        spec.version.value = self.version
        return spec


def fed(request: predict_pb2.PredictRequest, signature: meta_graph_pb2.SignatureDef) -> dict[str, np.ndarray]:
    """Return the request's arrays by the names of the nodes that they feed."""
    sent, wanted = set(request.inputs), set(signature.inputs)
    if len(sent) != len(wanted):
        raise Refused(
            Status.INVALID_ARGUMENT,
            f"input size does not match signature: {len(sent)}!={len(wanted)} len({braced(sent)}) != "
            f"len({braced(wanted)}). Sent extra: {braced(sent - wanted)}. "
            f"Missing but required: {braced(wanted - sent)}.",
        )
    feeds: dict[str, np.ndarray] = {}
    for alias in sorted(wanted):
        info = signature.inputs[alias]
        if alias not in sent:
            raise Refused(
                Status.INVALID_ARGUMENT,
                f"Signature input alias: {alias}(feed name: {info.name}) not found in request and no default "
                f"value provided. Inputs expected to be in the request {braced(sent)}, "
                "or default input alias set: ",
            )
        feeds[info.name] = decoded(alias, request.inputs[alias])
    for place, alias in enumerate(sorted(wanted)):
        want, got = (
            tf.as_dtype(tensor.dtype).name for tensor in (signature.inputs[alias], request.inputs[alias])
        )
        if want != got:
            words = [{"float32": "float", "float64": "double"}.get(name, name) for name in (want, got)]
            raise Refused(
                Status.INVALID_ARGUMENT, f"Expects arg[{place}] to be {words[0]} but {words[1]} is provided"
            )
    return feeds


def spoken(data_type: int) -> str:
    """Return the word that TensorFlow's messages have for a data type."""
    return types_pb2.DataType.Name(data_type).removeprefix("DT_").lower()


def fetched(request: predict_pb2.PredictRequest, signature: meta_graph_pb2.SignatureDef) -> list[str]:
    """Return the names of the outputs that the request asks for."""
    for place, alias in enumerate(request.output_filter):
        if alias not in signature.outputs:
            raise Refused(
                Status.INVALID_ARGUMENT,
                f"output tensor alias not found in signature: {alias} "
                f"Outputs expected to be in the set {braced(set(signature.outputs))}.",
            )
        if alias in request.output_filter[:place]:
            raise Refused(Status.INVALID_ARGUMENT, f"duplicate output tensor alias: {alias}")
    return list(request.output_filter) or list(signature.outputs)


def braced(names: set[str]) -> str:
    return "{" + ",".join(sorted(names)) + "}"


def decoded(alias: str, tensor: tensor_pb2.TensorProto) -> np.ndarray:
    """Read a tensor as TensorFlow's C++ does, with its mercy for values that are too few or too many."""
    try:
        return tf.io.parse_tensor(tensor.SerializeToString(), tf.as_dtype(tensor.dtype)).numpy()
    except (tf.errors.OpError, TypeError):
        raise Refused(Status.INVALID_ARGUMENT, f"tensor parsing error: {alias}") from None


def encoded(array: np.ndarray, dtype: tf.DType, *, content: bool) -> tensor_pb2.TensorProto:
    """Write a tensor into its field of values, or as --enable_serialization_as_tensor_content would."""
    tensor = tensor_pb2.TensorProto(dtype=dtype.as_datatype_enum)
    for size in array.shape:
        tensor.tensor_shape.dim.add(size=size)
    if not content:
        getattr(tensor, FIELDS[dtype]).extend(array.ravel().tolist())
    elif dtype == tf.string:
        values = array.ravel().tolist()
        tensor.tensor_content = b"".join(varint(len(value)) for value in values) + b"".join(values)
    else:
        tensor.tensor_content = array.tobytes()
    return tensor


def varint(number: int) -> bytes:
    low, high = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + varint(high) if high else bytes([low])


class StandIn:
    """The stand-in while it serves; what a test sets here shapes the calls that follow."""

    def __init__(self, models: Path, *, tensor_content: bool) -> None:
        self.models = models
        self.target = ""
        self.tensor_content = tensor_content
        self.calls: Counter[str] = Counter()  # by the last part of the method
        self.refusal: tuple[grpc.StatusCode, str] | None = None  # of every call
        self.delay = 0.0  # seconds before Predict answers
        self.spoil: Callable[[predict_pb2.PredictResponse], bytes | None] | None = None
        """Changes what Predict answers: in place, or into the bytes it returns."""
        self.states: dict[str, ModelVersionStatus] = {}  # of a model that is not AVAILABLE
        self.servables: dict[str, Servable] = {}
        self.stopping = threading.Event()
        self.load()

    def load(self) -> None:
        """Serve the newest version of each model in the store, as polling the store would."""
        for folder in self.models.iterdir():
            versions = [int(path.name) for path in folder.iterdir() if path.name.isdecimal()]
            loaded = self.servables.get(folder.name)
            if versions and (loaded is None or loaded.version != max(versions)):
                self.servables[folder.name] = Servable(folder / str(max(versions)))

    def predict(self, request: predict_pb2.PredictRequest) -> predict_pb2.PredictResponse | bytes:
        response = predict_pb2.PredictResponse()
        servable = self.servable(request)
        servable.predict(request, response, content=self.tensor_content)
        self.stopping.wait(self.delay)
        return (self.spoil and self.spoil(response)) or response

    def metadata(
        self, request: get_model_metadata_pb2.GetModelMetadataRequest
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        if not request.HasField("model_spec"):
            raise Refused(Status.INVALID_ARGUMENT, "Missing ModelSpec")
        if not request.metadata_field:
            raise Refused(
                Status.INVALID_ARGUMENT, "GetModelMetadataRequest must specify at least one metadata_field"
            )
        for name in request.metadata_field:
            if name != "signature_def":
                raise Refused(Status.INVALID_ARGUMENT, f"Metadata field {name} is not supported")
        servable = self.servable(request)
        response = get_model_metadata_pb2.GetModelMetadataResponse(
            model_spec=servable.spec(request.model_spec.name)
        )
        signatures = get_model_metadata_pb2.SignatureDefMap(signature_def=servable.signatures)
        response.metadata["signature_def"].Pack(signatures)
        return response

    def status(
        self, request: get_model_status_pb2.GetModelStatusRequest
    ) -> get_model_status_pb2.GetModelStatusResponse:
        if not request.HasField("model_spec"):
            raise Refused(Status.INVALID_ARGUMENT, "Missing ModelSpec")
        name, servable = request.model_spec.name, self.servables.get(request.model_spec.name)
        if name in self.states:
            return get_model_status_pb2.GetModelStatusResponse(model_version_status=[self.states[name]])
        if servable is None:
            raise Refused(Status.NOT_FOUND, f"Could not find any versions of model {name}")
        if request.model_spec.HasField("version") and request.model_spec.version.value != servable.version:
            version = request.model_spec.version.value
            raise Refused(Status.NOT_FOUND, f"Could not find version {version} of model {name}")
        available = ModelVersionStatus(version=servable.version, state=ModelVersionStatus.AVAILABLE)
        available.status.SetInParent()
        return get_model_status_pb2.GetModelStatusResponse(model_version_status=[available])

    def servable(self, request: Any) -> Servable:
        if not request.HasField("model_spec"):
            raise Refused(Status.INVALID_ARGUMENT, "Missing ModelSpec")
        spec: ModelSpec = request.model_spec
        if not spec.name:
            raise Refused(Status.INVALID_ARGUMENT, "ModelSpec has no name specified.")
        if spec.WhichOneof("version_choice") == "version_label":
            raise Refused(
                Status.INVALID_ARGUMENT, f"Unrecognized servable version label: {spec.version_label}"
            )
        servable = self.servables.get(spec.name)
        pinned = spec.HasField("version")
        if (
            servable is None
            or spec.name in self.states
            or (pinned and spec.version.value != servable.version)
        ):
            which = f"Specific({spec.name}, {spec.version.value})" if pinned else f"Latest({spec.name})"
            raise Refused(Status.NOT_FOUND, f"Servable not found for request: {which}")
        return servable

    def handler(self, call: Callable[[Any], Any], request: type[Any]) -> grpc.RpcMethodHandler:
        """Answer one method with what `call` returns, a message or bytes, or with the status it raises."""

        def answer(message: Any, context: grpc.ServicerContext) -> Any:
            self.calls[call.__name__] += 1
            try:
                if self.refusal:
                    raise Refused(*self.refusal)
                return call(message)
            except Refused as refused:
                context.abort(refused.code, refused.details)

        return grpc.unary_unary_rpc_method_handler(
            answer,
            request.FromString,
            lambda answer: answer if isinstance(answer, bytes) else answer.SerializeToString(),
        )

    def handlers(self) -> list[grpc.GenericRpcHandler]:
        """Return the two services."""
        prediction = {
            "Predict": self.handler(self.predict, predict_pb2.PredictRequest),
            "GetModelMetadata": self.handler(self.metadata, get_model_metadata_pb2.GetModelMetadataRequest),
        }
        status = {"GetModelStatus": self.handler(self.status, get_model_status_pb2.GetModelStatusRequest)}
        return [
            grpc.method_handlers_generic_handler("tensorflow.serving.PredictionService", prediction),
            grpc.method_handlers_generic_handler("tensorflow.serving.ModelService", status),
        ]


@contextmanager
def serve_models(models: Path, *, tensor_content: bool = False, port: int = 0) -> Iterator[StandIn]:
    """Serve a model store on a loopback port, a free one by default; leaving cuts what is under way."""
    stand_in = StandIn(models, tensor_content=tensor_content)
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    with ThreadPoolExecutor(8) as threads:
        server = grpc.server(threads, stand_in.handlers(), options=options)
        stand_in.target = f"127.0.0.1:{server.add_insecure_port(f'127.0.0.1:{port}')}"
        server.start()
        try:
            yield stand_in
        finally:
            stand_in.stopping.set()
            server.stop(None).wait()


if __name__ == "__main__":
    with serve_models(Path(sys.argv[1]), port=int(sys.argv[2]) if sys.argv[2:] else 0) as served:
        sys.stdout.write(f"{served.target}\n")
        sys.stdout.flush()
        threading.Event().wait()
