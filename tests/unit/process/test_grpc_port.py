"""The port for gRPC is kept for the workers, which listen on it beside each other."""

import socket

import pytest

from service.domain.errors import SettingsError
from service.process import grpc_port, listening
from service.settings import Settings


def listener(port: int) -> socket.socket:
    return socket.create_server(("127.0.0.1", port), reuse_port=True)


def test_without_the_setting_or_the_protocol_nothing_is_opened() -> None:
    for settings in (Settings(), Settings(grpc_port=0, protocols=())):
        with grpc_port.reserved_port(settings) as found:
            assert found is settings


def test_a_free_port_is_found_and_several_workers_listen_on_it() -> None:
    pytest.importorskip("grpc", reason="grpcio is not installed")
    with grpc_port.reserved_port(Settings(grpc_port=0)) as found:
        assert found.grpc_port
        with listener(found.grpc_port), listener(found.grpc_port):
            pass
        with pytest.raises(OSError, match="in use"):
            socket.create_server(("127.0.0.1", found.grpc_port))


def test_a_port_that_another_service_listens_on_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("grpc", reason="grpcio is not installed")
    monkeypatch.setattr(listening, "PORT_SECONDS", 0)
    with listener(0) as other:
        taken = grpc_port.reserved_port(Settings(grpc_port=other.getsockname()[1]))
        with pytest.raises(SettingsError, match="UNROLL_GRPC_PORT"), taken:
            pass


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grpc_port, "PACKAGES", ("no_such_package",))
    with (
        pytest.raises(SettingsError, match="UNROLL_GRPC_PORT is 0, and the package no_such_package is not installed"),
        grpc_port.reserved_port(Settings(grpc_port=0)),
    ):
        pass
