"""Every domain error has a gRPC status, and metadata that any client accepts."""

import inspect

import pytest

from service.domain import errors
from service.domain.errors import RateLimited, StepConflict, UnrollError

grpc_errors = pytest.importorskip("service.grpc.errors", reason="grpcio is not installed")

REPORTED = {item for _, item in inspect.getmembers(errors, inspect.isclass) if issubclass(item, UnrollError)}


def test_every_error_has_a_status() -> None:
    assert set(grpc_errors.STATUS) == REPORTED
    assert set(grpc_errors.STATUS.values()) <= set(grpc_errors.HTTP_STATUS)


def test_metadata_carry_the_fields_of_an_error() -> None:
    found = dict(grpc_errors.metadata_of(StepConflict("no", param="step", applied="no", step=3)))
    assert found == {"unroll-code": "step_conflict", "unroll-param": "step", "unroll-applied": "no", "unroll-step": "3"}
    found = dict(grpc_errors.metadata_of(RateLimited("wait", retry_after=2)))
    assert (found["retry-after"], found["grpc-retry-pushback-ms"]) == ("2", "2000")


def test_metadata_are_printable() -> None:
    found = dict(grpc_errors.metadata_of(RateLimited("no", param="schlüssel\n" + "x" * 1000)))
    assert found["unroll-param"].startswith("schl?ssel?x")
    assert len(found["unroll-param"]) == 200
