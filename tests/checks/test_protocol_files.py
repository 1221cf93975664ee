"""The compiled protocol files of gRPC."""

from pathlib import Path

import pytest

from tests.checks.places import SERVICE

PROTOCOL = SERVICE / "grpc" / "protocol"


def test_the_protocol_files_are_compiled(tmp_path: Path) -> None:
    protoc = pytest.importorskip("grpc_tools.protoc", reason="grpcio-tools is not installed")
    compiled = tmp_path / "compiled"
    arguments = [f"--proto_path={PROTOCOL}", "--include_imports", f"--descriptor_set_out={compiled}"]
    assert protoc.main(["protoc", *arguments, "open_inference.proto"]) == 0
    assert compiled.read_bytes() == (PROTOCOL / "open_inference.binpb").read_bytes(), "run `make protocol`"


def test_every_field_is_that_of_tritons_client() -> None:
    triton = pytest.importorskip("tritonclient.grpc.service_pb2", reason="tritonclient is not installed")
    ours = pytest.importorskip("service.grpc.messages", reason="grpcio is not installed")
    theirs = triton.ModelInferRequest.DESCRIPTOR.file.pool
    for file in ("open_inference.proto", "model_config.proto"):
        for name, message in ours.POOL.FindFileByName(file).message_types_by_name.items():
            other = theirs.FindMessageTypeByName(f"inference.{name}")
            for field in message.fields:
                assert other.fields_by_name[field.name].number == field.number, (name, field.name)
                assert other.fields_by_name[field.name].type == field.type, (name, field.name)
