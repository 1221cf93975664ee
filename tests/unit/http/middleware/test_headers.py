"""Headers that any request may carry."""

import re

import pytest

from service.domain.errors import InvalidRequest
from service.http.middleware.headers import request_id, timeout


def test_a_clients_request_id_is_kept() -> None:
    assert request_id({b"x-request-id": b"order 66/a~"}) == b"order 66/a~"


@pytest.mark.parametrize("client_id", [b"", b"a\tb", b"caf\xe9", b"x" * 257])
def test_a_request_id_that_is_not_printable_and_short_is_replaced(client_id: bytes) -> None:
    assert re.fullmatch(rb"req_[0-9a-f]{24}", request_id({b"x-request-id": client_id}))


def test_every_request_without_an_id_gets_another_one() -> None:
    assert request_id({}) != request_id({})


@pytest.mark.parametrize(("value", "seconds"), [(b"1", 0.001), (b"1500", 1.5), (b"600000", 600.0), (None, None)])
def test_a_timeout_is_read_in_milliseconds(value: bytes | None, seconds: float | None) -> None:
    assert timeout({} if value is None else {b"x-request-timeout-ms": value}) == seconds


@pytest.mark.parametrize("value", [b"", b"0", b"-1", b"1.5", b"600001", b"1" * 10, b"\xb2", b"1e3"])
def test_a_timeout_out_of_range_is_refused_by_name(value: bytes) -> None:
    with pytest.raises(InvalidRequest, match="expected an integer from 1 to 600000") as refused:
        timeout({b"x-request-timeout-ms": value})
    assert refused.value.param == "X-Request-Timeout-Ms"
