"""Strict parsing of JSON."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.nets.config.bounded_json import MAX_DEPTH, MAX_DIGITS, parse_json

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(value=values, ascii_only=st.booleans())
def test_any_value_is_parsed(value: Any, ascii_only: bool) -> None:
    assert parse_json(json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")) == value


@given(content=st.binary(max_size=60))
def test_any_bytes_are_parsed_or_refused(content: bytes) -> None:
    try:
        parse_json(content)
    except ValueError:
        return


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_the_encodings_of_json_are_read(encoding: str) -> None:
    assert parse_json('{"é": 1}'.encode(encoding)) == {"é": 1}


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_the_depth_is_limited(opening: str) -> None:
    closing = "]" if opening == "[" else "}"
    assert parse_json(f"{opening * MAX_DEPTH}1{closing * MAX_DEPTH}".encode()) is not None
    for depth in (MAX_DEPTH + 1, 900, 100_000):
        with pytest.raises(ValueError, match=f"more than {MAX_DEPTH} levels"):
            parse_json(f"{opening * depth}1{closing * depth}".encode())


def test_the_digits_of_an_integer_are_limited() -> None:
    assert parse_json(b"9" * MAX_DIGITS) == 10**MAX_DIGITS - 1
    for digits in (MAX_DIGITS + 1, 10_000):
        with pytest.raises(ValueError, match="out of range"):
            parse_json(b"9" * digits)


@pytest.mark.parametrize("content", [b"NaN", b"[Infinity]", b'{"a": -Infinity}'])
def test_numbers_that_are_none_are_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match="is no number of JSON"):
        parse_json(content)


@pytest.mark.parametrize("content", [b'"\\ud800"', b'{"\\udfff": 1}', b'["\\udc00\\ud800"]'])
def test_half_a_surrogate_pair_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match="half of a surrogate pair"):
        parse_json(content)


def test_a_whole_surrogate_pair_is_one_character() -> None:
    assert parse_json(b'"\\ud83e\\udd8a"') == "\U0001f98a"


def test_a_field_that_stands_twice_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="the field 'b' stands twice"):
        parse_json(b'{"a": {"b": 1, "c": 2, "b": 1}}')
