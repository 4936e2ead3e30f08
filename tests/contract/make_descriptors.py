"""Writes serving/tfserving.desc anew from the installed tensorflow-serving-api."""

from pathlib import Path

from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import FileDescriptor
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2, predict_pb2

from serving import wire

SPOKEN = (predict_pb2, get_model_metadata_pb2, get_model_status_pb2)


def descriptors() -> bytes:
    """Return a FileDescriptorSet of the messages the gateway speaks, each file after what it imports."""
    files: dict[str, descriptor_pb2.FileDescriptorProto] = {}

    def add(file: FileDescriptor) -> None:
        if file.name in files:
            return
        for dependency in file.dependencies:
            add(dependency)
        files[file.name] = descriptor_pb2.FileDescriptorProto()
        file.CopyToProto(files[file.name])

    for module in SPOKEN:
        add(module.DESCRIPTOR)
    return descriptor_pb2.FileDescriptorSet(file=files.values()).SerializeToString(deterministic=True)


def main(path: Path = wire.DESCRIPTORS) -> None:
    """Write the descriptors where the gateway reads them."""
    path.write_bytes(descriptors())


if __name__ == "__main__":
    main()
