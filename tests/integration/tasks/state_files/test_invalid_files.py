"""Files that are no state of the model are refused, with an error that names what is wrong."""

import json
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load

from service.domain.errors import InvalidRequest
from service.domain.rfc3339 import BEGIN, END
from service.engine.state_export import MAX_HEADER_BYTES
from tests.integration.tasks.state_files.exported_models import Model
from tests.state_files import put_together, taken_apart, with_tensors


def assert_refused(model: Model, content: bytes, param: str, *mentions: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        model.read(content)
    assert raised.value.param == param, raised.value.message
    assert len(raised.value.message) < 400
    for mention in (*mentions, param.removeprefix("body"), "expected"):
        assert mention in raised.value.message


@pytest.mark.parametrize(
    ("content", "mention"),
    [
        (b"", "an empty file"),
        (b"\0", "truncated or damaged"),
        (b"abc", "truncated or damaged"),
        (b"\0" * 8, "truncated or damaged"),
        (b"\xff" * 8, "truncated or damaged"),
        (b"\xff" * 7 + b"\x7f" + b"{}", "truncated or damaged"),
        (b"\0\0\0\0\x10\0\0\0{}", "truncated or damaged"),
        (b"\x80\x02}q\0.", "a pickle"),
        (b"PK\x03\x04" + b"\0" * 30, "a pickle"),
        (b'{"h_l0": [1, 2]}', "truncated or damaged"),
        (put_together(b"[]", b""), "truncated or damaged"),
        (put_together(b"{" * 50_000, b""), "truncated or damaged"),
        (put_together(b'{"a":' + b"[" * 100_000, b""), "truncated or damaged"),
        (put_together(b'{"\xff":{}}', b""), "UTF-8"),
        (put_together(b'{"__metadata__":{"a":"\xc3("}}', b""), "UTF-8"),
        (put_together({"__metadata__": {"a": 1}}, b""), "expected a string"),
        (put_together({"__metadata__": {"a": ["b"]}}, b""), "expected a string"),
        (put_together(b'{"a":{"dtype":"U8","shape":[0],"b":%s}}' % (b"9" * 9000), b""), "out of range"),
        (put_together(b'{"a":"%s"}' % (b"x" * 9000), b""), "xxx"),
        (put_together({"a": {"dtype": "F4", "shape": [2], "data_offsets": [0, 1]}}, b"\0"), "dtype F4"),
        (put_together({"a": {"dtype": "F32", "shape": [2**63, 2], "data_offsets": [0, 0]}}, b""), "overflow"),
        (put_together({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 2**60]}}, b""), "offset"),
    ],
    ids=lambda value: repr(value[:40]) if isinstance(value, bytes) else value,
)  # fmt: skip
def test_the_error_for_another_file_says_what_the_file_is(
    models: dict[str, Model], content: bytes, mention: str
) -> None:
    assert_refused(models["lstm"], content, "body", mention)


def test_a_header_above_the_limit_is_refused(models: dict[str, Model]) -> None:
    model = models["lstm"]
    header, data = taken_apart(model.content)
    assert_refused(
        model, put_together(json.dumps(header).encode().ljust(MAX_HEADER_BYTES + 1), data), "body", "131073", "131072"
    )
    model.read(put_together(json.dumps(header).encode().ljust(MAX_HEADER_BYTES), data))
    names = {f"t{number}": {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]} for number in range(20_000)}
    assert_refused(model, put_together(names, b""), "body", "131072")


@pytest.mark.parametrize("length", [0, 1, 7, 8, 9, 100, -1, -4, -5])
def test_a_truncated_file_is_refused(model: Model, length: int) -> None:
    assert_refused(model, model.content[:length], "body")


def test_a_missing_tensor_is_refused(model: Model) -> None:
    for name, array in load(model.content).items():
        if name != "time":  # an optional tensor
            content = with_tensors(model.content, **{name: None})
            assert_refused(model, content, f"tensors.{name}", "is missing", str(array.dtype))


def test_a_tensor_of_another_shape_is_refused(model: Model) -> None:
    for name, array in load(model.content).items():
        for changed in (array[None], np.zeros((0, *array.shape), array.dtype)):
            content = with_tensors(model.content, **{name: changed})
            assert_refused(model, content, f"tensors.{name}", "of shape", str(array.dtype))


@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.int32, np.uint8, np.bool_])
def test_a_tensor_of_another_dtype_is_refused(model: Model, dtype: type[np.generic]) -> None:
    for name, array in load(model.content).items():
        content = with_tensors(model.content, **{name: np.zeros_like(array, dtype)})
        assert_refused(model, content, f"tensors.{name}", str(array.dtype))


@pytest.mark.parametrize(
    ("number", "shown"), [(np.nan, "nan"), (np.inf, "inf"), (-np.inf, "-inf"), (2e12, "2e+12"), (-3e38, "-3e+38")]
)
def test_a_number_that_is_not_finite_or_too_large_is_refused(model: Model, number: float, shown: str) -> None:
    for name, array in load(model.content).items():
        if array.dtype == np.float32:
            changed = array.copy()
            changed.flat[-1] = number
            content = with_tensors(model.content, **{name: changed})
            assert_refused(model, content, f"tensors.{name}", f"{shown} at {array.size - 1}", "finite")


def test_a_tensor_that_is_not_of_the_state_is_refused(model: Model) -> None:
    for name in ("h_l9", "H_l0", "x" * 1000, "\n"):
        assert_refused(
            model, with_tensors(model.content, **{name: np.zeros(2, np.float32)}), f"tensors.{name[:80]}", "left out"
        )


@pytest.mark.parametrize(
    ("name", "value", "mention"),
    [
        ("source", [3, 90, 2], "90 at 1"),
        ("source", [-1], "-1 at 0"),
        ("source", [2**62], str(2**62)),
        ("source", [], "[0]"),
        ("source", [3] * 32, "[1 to 31]"),
        ("source", [[3, 4]], "[1, 2]"),
        ("accepted", -1, "-1"),
        ("accepted", 2**31 + 1, str(2**31 + 1)),
        ("accepted", 2**63 - 1, str(2**63 - 1)),
        ("pending", 95, "0 to 94"),
        ("pending", -(2**63), str(-(2**63))),
    ],
)
def test_an_invalid_source_or_counter_of_a_translation_is_refused(
    models: dict[str, Model], name: str, value: Any, mention: str
) -> None:
    model = models["mt"]
    assert_refused(model, with_tensors(model.content, **{name: np.array(value, np.int64)}), f"tensors.{name}", mention)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rows", -1),
        ("rows", 2**53 + 1),
        ("rows", 2**63 - 1),
        ("time", BEGIN - 1),
        ("time", END),
        ("time", -(2**63)),
        ("time", 2**63 - 1),
    ],
)
def test_an_invalid_counter_or_time_of_a_stream_is_refused(models: dict[str, Model], name: str, value: int) -> None:
    model = models["sensor"]
    assert_refused(model, with_tensors(model.content, **{name: np.int64(value)}), f"tensors.{name}", str(value))
