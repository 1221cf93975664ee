"""Messages of the gRPC services, made from the compiled protocol files.

The descriptors are in a pool of their own. So they fit every release of protobuf, which generated modules do not, and
stand beside the messages of another client of the protocol in the same process.
"""

from importlib import resources
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

#: The service of the Open Inference Protocol.
INFERENCE = "inference.GRPCInferenceService"
HEALTH = "grpc.health.v1.Health"
#: Names of the reflection service. Both versions have the same messages.
REFLECTION = ("grpc.reflection.v1alpha.ServerReflection", "grpc.reflection.v1.ServerReflection")


def _make_pool() -> Any:  # noqa: ANN401 - protobuf has no types
    """Return a pool with the descriptors of all services."""
    pool = descriptor_pool.DescriptorPool()
    compiled = resources.files("service.grpc").joinpath("protocol", "open_inference.binpb").read_bytes()
    for file in descriptor_pb2.FileDescriptorSet.FromString(compiled).file:
        pool.AddSerializedFile(file.SerializeToString())
    for module in (health_pb2, reflection_pb2):
        pool.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
    return pool


POOL = _make_pool()


def message(name: str) -> Any:  # noqa: ANN401 - likewise
    """Return the class of a message of the Open Inference Protocol."""
    return message_factory.GetMessageClass(POOL.FindMessageTypeByName(f"inference.{name}"))
