"""Our messages and tensors against tensorflow's own.

tensorflow is the oracle here: a stand-in that shared our mistakes would not notice them.
"""

# tensorflow-serving-api makes its classes at run time, where no type checker sees them.
# pyright: reportAttributeAccessIssue=false

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import descriptor_pb2
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2, predict_pb2

from serving import wire
from tests.contract.make_descriptors import descriptors
from tests.fakes.tfserving import FIELDS, encoded

SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)
NUMBERS = st.sampled_from(sorted(wire.NUMBERS, key=str)).flatmap(lambda dtype: hnp.arrays(dtype, SHAPES))
STRINGS = hnp.arrays(object, SHAPES, elements=st.binary(max_size=300), fill=st.nothing())
ARRAYS = st.one_of(NUMBERS, STRINGS)

ORACLES = {
    "PredictRequest": predict_pb2.PredictRequest,
    "PredictResponse": predict_pb2.PredictResponse,
    "GetModelMetadataRequest": get_model_metadata_pb2.GetModelMetadataRequest,
    "GetModelMetadataResponse": get_model_metadata_pb2.GetModelMetadataResponse,
    "SignatureDefMap": get_model_metadata_pb2.SignatureDefMap,
    "GetModelStatusRequest": get_model_status_pb2.GetModelStatusRequest,
    "GetModelStatusResponse": get_model_status_pb2.GetModelStatusResponse,
    "TensorProto": tensor_pb2.TensorProto,
}


def same(a: np.ndarray, b: np.ndarray) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()


def same_strings(a: np.ndarray, b: np.ndarray) -> bool:
    return a.shape == b.shape and a.ravel().tolist() == b.ravel().tolist()


def tensor(dtype: tf.DType, shape: tuple[int, ...], **values: object) -> wire.Message:
    theirs = tensor_pb2.TensorProto(dtype=dtype.as_datatype_enum, **values)
    for size in shape:
        theirs.tensor_shape.dim.add(size=size)
    return wire.messages().TensorProto.FromString(theirs.SerializeToString())


def test_the_descriptors_are_those_of_the_installed_tensorflow_serving_api():
    ours = descriptor_pb2.FileDescriptorSet.FromString(wire.DESCRIPTORS.read_bytes())
    theirs = descriptor_pb2.FileDescriptorSet.FromString(descriptors())
    assert list(ours.file) == list(theirs.file), "run make descriptors"


def test_every_message_has_the_oracles_fields():
    assert set(ORACLES) == set(wire.Messages.__dataclass_fields__)
    for name, oracle in ORACLES.items():
        ours = getattr(wire.messages(), name).DESCRIPTOR
        assert ours.full_name == oracle.DESCRIPTOR.full_name
        assert {(f.name, f.number, f.type) for f in ours.fields} == {
            (f.name, f.number, f.type) for f in oracle.DESCRIPTOR.fields
        }


@given(NUMBERS)
def test_tensorflow_reads_every_array_that_we_write(array):
    theirs = tensor_pb2.TensorProto.FromString(wire.to_tensor(array).SerializeToString())
    assert same(tf.make_ndarray(theirs), array)


@given(ARRAYS)
def test_we_read_every_array_that_tensorflow_writes(array):
    theirs = tf.make_tensor_proto(array, dtype=tf.string if array.dtype == object else None)
    ours = wire.to_array(wire.messages().TensorProto.FromString(theirs.SerializeToString()))
    assert same_strings(ours, array) if array.dtype == object else same(ours, array)


@given(ARRAYS, st.booleans())
def test_we_read_every_array_as_tf_serving_writes_it(array, content):
    dtype = tf.string if array.dtype == object else tf.as_dtype(array.dtype)
    theirs = encoded(array, dtype, content=content)
    ours = wire.to_array(wire.messages().TensorProto.FromString(theirs.SerializeToString()))
    assert same_strings(ours, array) if array.dtype == object else same(ours, array)


@given(NUMBERS, st.sampled_from("<>"))
def test_the_byte_order_of_an_array_does_not_matter(array, order):
    turned = array.astype(array.dtype.newbyteorder(order))
    assert wire.to_tensor(turned) == wire.to_tensor(array)


@given(st.sampled_from(sorted(FIELDS, key=str)), st.lists(st.integers(0, 1), max_size=3), st.integers(3, 6))
def test_the_last_value_stands_for_those_that_are_missing(dtype, given_values, count):
    values = [str(value).encode() for value in given_values] if dtype == tf.string else given_values
    theirs = tensor_pb2.TensorProto(dtype=dtype.as_datatype_enum, **{FIELDS[dtype]: values})
    theirs.tensor_shape.dim.add(size=count)
    ours = wire.to_array(wire.messages().TensorProto.FromString(theirs.SerializeToString()))
    # TensorFlow's C++, which is what TF Serving reads requests with.
    expected = tf.io.parse_tensor(theirs.SerializeToString(), dtype).numpy()
    assert ours.tolist() == expected.tolist()


@given(st.binary(max_size=64))
def test_any_bytes_as_a_tensor_are_an_array_or_a_value_error(data):
    for dtype in FIELDS:
        malformed = tensor(dtype, (2, 3), tensor_content=data)
        try:
            assert wire.to_array(malformed).shape == (2, 3)
        except ValueError:
            continue


@pytest.mark.parametrize(
    "malformed",
    [
        tensor(tf.float32, (2,), tensor_content=b"1234567"),
        tensor(tf.float32, (2,), float_val=[1, 2, 3]),
        tensor(tf.float32, (-1,), float_val=[1]),
        tensor(tf.uint8, (2,), int_val=[1, 256]),
        tensor(tf.uint8, (2,), int_val=[-1, 1]),
        tensor(tf.uint8, (1 << 20, 1 << 20), int_val=[1]),
        tensor(tf.string, (1 << 40,), string_val=[b"card"]),
        tensor(tf.string, (2,), tensor_content=b"\x01\x05abc"),
        tensor(tf.string, (2,), tensor_content=b"\xff\xff\xff\xff\xff\xff"),
        tensor(tf.complex64, (1,), scomplex_val=[1, 2]),
    ],
)
def test_a_malformed_tensor_is_a_value_error(malformed):
    with pytest.raises(ValueError, match=r".+"):
        wire.to_array(malformed)


def test_an_array_that_no_signature_takes_is_a_value_error():
    with pytest.raises(ValueError, match="complex128"):
        wire.to_tensor(np.zeros(1, complex))
