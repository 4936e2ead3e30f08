"""TF Serving's messages without TensorFlow, and arrays in and out of them.

tensorflow-serving-api needs all of tensorflow. Its descriptors alone, in a pool of their own, do not, and
cannot clash with tensorflow's when both live in one process. `python -m tests.contract.make_descriptors`
writes them anew.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from numpy.typing import NDArray

from serving.signatures import Spec, Specs

DESCRIPTORS = Path(__file__).parent / "tfserving.desc"

PREDICT = "/tensorflow.serving.PredictionService/Predict"
GET_MODEL_METADATA = "/tensorflow.serving.PredictionService/GetModelMetadata"
GET_MODEL_STATUS = "/tensorflow.serving.ModelService/GetModelStatus"

DT_STRING = 7

# NumPy's type -> TensorFlow's DataType, and the field of TensorProto that holds its values one by one.
NUMBERS = {
    np.dtype(np.float32): (1, "float_val"),
    np.dtype(np.float64): (2, "double_val"),
    np.dtype(np.int32): (3, "int_val"),
    np.dtype(np.uint8): (4, "int_val"),
    np.dtype(np.int64): (9, "int64_val"),
    np.dtype(np.bool_): (10, "bool_val"),
}
NUMBER_OF_DATA_TYPE = {data_type: (dtype, field) for dtype, (data_type, field) in NUMBERS.items()}

MAX_BYTES = 2**31 - 1
"""Largest protobuf message, and so the largest tensor that can be believed."""


Message: TypeAlias = Any
"""An instance of a message class: made at run time, so that no type checker knows its fields."""


@dataclass(frozen=True)
class Messages:
    """TF Serving's message classes, made at run time."""

    TensorProto: type[Any]
    PredictRequest: type[Any]
    PredictResponse: type[Any]
    GetModelMetadataRequest: type[Any]
    GetModelMetadataResponse: type[Any]
    SignatureDefMap: type[Any]
    GetModelStatusRequest: type[Any]
    GetModelStatusResponse: type[Any]


@cache
def messages() -> Messages:
    """Return the message classes; the first call reads their descriptors."""
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(DESCRIPTORS.read_bytes()).file:
        pool.AddSerializedFile(file.SerializeToString())

    def message(name: str) -> type[Any]:
        return message_factory.GetMessageClass(pool.FindMessageTypeByName(name))

    serving = {
        name: message(f"tensorflow.serving.{name}")
        for name in Messages.__dataclass_fields__
        if name != "TensorProto"
    }
    return Messages(TensorProto=message("tensorflow.TensorProto"), **serving)


def to_tensor(array: NDArray[Any]) -> Message:
    """Return a TensorProto of an array of numbers. Raises ValueError for a type that is not carried."""
    tensor = messages().TensorProto()
    for size in array.shape:
        tensor.tensor_shape.dim.add(size=size)
    native = array.dtype.newbyteorder("=")
    if native not in NUMBERS:
        raise ValueError(f"no tensor for arrays of {array.dtype}")
    tensor.dtype, _ = NUMBERS[native]
    tensor.tensor_content = array.astype(native.newbyteorder("<"), copy=False).tobytes()
    return tensor


def to_array(tensor: Message) -> NDArray[Any]:
    """Return the array of a TensorProto: numbers, or an object array of bytes; it may be read-only.

    TF Serving fills one field of values by default, tensor_content when started with
    --enable_serialization_as_tensor_content. Values that are too few are filled up with the last one.
    Raises ValueError for a tensor that is malformed or of a type that the wire does not carry.
    """
    if tensor.dtype == DT_STRING:
        shape = shape_of(tensor, np.dtype(object).itemsize)
        count = math.prod(shape)
        strings = decode_strings(tensor.tensor_content, count) if tensor.tensor_content else tensor.string_val
        return filled(objects(strings), count, b"").reshape(shape)
    if tensor.dtype not in NUMBER_OF_DATA_TYPE:
        raise ValueError(f"a tensor of data type {tensor.dtype}, which the contract does not use")
    dtype, field = NUMBER_OF_DATA_TYPE[tensor.dtype]
    shape = shape_of(tensor, dtype.itemsize)
    count = math.prod(shape)
    if tensor.tensor_content:
        if len(tensor.tensor_content) != count * dtype.itemsize:
            raise ValueError(f"{len(tensor.tensor_content)} bytes of content for {dtype} {shape}")
        little_endian = np.frombuffer(tensor.tensor_content, dtype.newbyteorder("<"))
        return little_endian.astype(dtype, copy=False).reshape(shape)
    # np.array reads a field of values in bulk; np.fromiter, one by one, takes a hundred times as long.
    wide = np.array(getattr(tensor, field))
    values = wide.astype(dtype)
    if dtype.kind in "iu" and not np.array_equal(values, wide):
        raise ValueError(f"values outside {dtype}")
    return filled(values, count, 0).reshape(shape)


def specs_of(definition: Message) -> Specs:
    """Read a SignatureDef."""
    return Specs(
        {name: spec_of(tensor) for name, tensor in definition.inputs.items()},
        {name: spec_of(tensor) for name, tensor in definition.outputs.items()},
    )


def spec_of(tensor: Message) -> Spec:
    """Read a TensorInfo."""
    dtype = dtype_name(tensor.dtype)
    if tensor.tensor_shape.unknown_rank:
        return Spec(dtype, None)
    return Spec(dtype, tuple(None if dim.size < 0 else int(dim.size) for dim in tensor.tensor_shape.dim))


def dtype_name(data_type: int) -> str:
    """Return NumPy's name of one of TensorFlow's data types, or what it is called by number."""
    if data_type == DT_STRING:
        return "string"
    known = NUMBER_OF_DATA_TYPE.get(data_type)
    return known[0].name if known else f"data type {data_type}"


def shape_of(tensor: Message, itemsize: int) -> tuple[int, ...]:
    """Return a TensorProto's shape, or raise ValueError where it is unknown, negative or beyond belief."""
    shape = tuple(dim.size for dim in tensor.tensor_shape.dim)
    if tensor.tensor_shape.unknown_rank or any(size < 0 for size in shape):
        raise ValueError("a tensor whose shape is not known")
    if math.prod(shape) * itemsize > MAX_BYTES:
        raise ValueError(f"a tensor of shape {shape}, larger than a message can be")
    return shape


def filled(values: NDArray[Any], count: int, empty: object) -> NDArray[Any]:
    """Return count values: the last one stands for all that are missing, or `empty` where there is none."""
    if len(values) > count:
        raise ValueError(f"{len(values)} values for {count} places")
    last = values[-1] if len(values) else empty
    return np.concatenate([values, np.full(count - len(values), last, values.dtype)])


def objects(strings: Iterable[bytes]) -> NDArray[np.object_]:
    """Return a flat object array; np.array would make fixed-width bytes of it and drop trailing zeros."""
    listed = list(strings)
    array = np.empty(len(listed), object)
    array[:] = listed
    return array


def decode_strings(content: bytes, count: int) -> list[bytes]:
    """Read tensor_content of strings: all lengths as varints, then all bytes. Raises ValueError."""
    lengths, start = list[int](), 0
    for _ in range(count):
        length, start = varint(content, start)
        lengths.append(length)
    if start + sum(lengths) != len(content):
        raise ValueError(f"{len(content) - start} bytes of strings, {sum(lengths)} announced")
    strings: list[bytes] = []
    for length in lengths:
        strings.append(content[start : start + length])
        start += length
    return strings


def varint(content: bytes, start: int) -> tuple[int, int]:
    """Read one varint of up to 32 bits; return it and where the next one starts. Raises ValueError."""
    value = 0
    for place, byte in enumerate(content[start : start + 5]):
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return value, start + place + 1
    raise ValueError("a length of strings that does not end")
