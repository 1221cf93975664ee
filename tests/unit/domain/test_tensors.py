"""Tensors as bytes: every datatype, and bytes that do not fit."""

import math
from typing import Any

import pytest

from service.domain.errors import InvalidRequest
from service.domain.tensors import Tensor, make_tensor, pack, require_size, unpack


@pytest.mark.parametrize(
    ("datatype", "elements"),
    [
        ("BOOL", [True, False]),
        ("UINT8", [0, 255]),
        ("UINT16", [0, 65_535]),
        ("UINT32", [0, 2**32 - 1]),
        ("UINT64", [0, 2**64 - 1]),
        ("INT8", [-128, 127]),
        ("INT16", [-32_768, 32_767]),
        ("INT32", [-(2**31), 2**31 - 1]),
        ("INT64", [-(2**63), 2**63 - 1]),
        ("FP16", [-1.5, 65_504.0]),
        ("BF16", [-1.5, 2.0**100]),
        ("FP32", [-1.5, 2.0**100]),
        ("FP64", [-1.5, 1e300]),
        ("BYTES", [b"", b"a\0b"]),
    ],
)
def test_elements_of_every_datatype_are_read_as_they_were_written(datatype: str, elements: list[Any]) -> None:
    data = pack(datatype, elements)
    require_size("X", datatype, (2,), data)
    assert [*unpack(datatype, 2, data)] == elements


def test_numbers_are_little_endian_and_bfloat16_is_the_upper_half_of_a_float32() -> None:
    assert pack("INT32", [1]) == b"\1\0\0\0"
    assert pack("BF16", [1.0]) == b"\x80\x3f"
    assert math.isnan(unpack("BF16", 1, b"\xc0\x7f")[0])


@pytest.mark.parametrize(
    ("datatype", "shape", "data"),
    [
        ("INT64", (1, 2), b"\0" * 15),
        ("INT64", (10**9, 10**9), b""),
        ("FP16", (2,), b"\0" * 8),
        ("BYTES", (1,), b"\5\0\0\0abcd"),
        ("BYTES", (1,), b"\1\0\0\0ab"),
        ("BYTES", (2,), b"\1\0\0\0a"),
        ("BYTES", (10**9,), b"\0\0\0\0"),
    ],
)
def test_bytes_that_do_not_fit_the_shape_are_refused(datatype: str, shape: tuple[int, ...], data: bytes) -> None:
    with pytest.raises(InvalidRequest, match="expected"):
        require_size("X", datatype, shape, data)


def test_rows_are_those_of_the_batch() -> None:
    assert [[*row] for row in make_tensor("X", "INT8", (2, 3), [1, 2, 3, 4, 5, 6]).rows()] == [[1, 2, 3], [4, 5, 6]]
    assert Tensor("X", "INT8", (2, 0), b"").rows() == [(), ()]
