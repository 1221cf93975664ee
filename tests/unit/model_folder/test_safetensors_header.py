"""The parser of safetensors files, against the library's own."""

import random
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import SafetensorError, deserialize
from safetensors.torch import save

from service.model_folder.safetensors_header import DTYPES, MAX_HEADER_BYTES, MAX_NAME_CHARACTERS, TensorFileError
from service.model_folder.safetensors_io import parse_tensor_file
from tests.state_files import mutated, put_together

CONTENT = save(
    {
        "a": torch.arange(12.0).view(3, 4),
        "b": torch.arange(5),
        "c": torch.zeros(0, 2),
        "d": torch.tensor(1, dtype=torch.uint8),
        "e": torch.ones(3, dtype=torch.bfloat16),
    },
    {"x": "y"},
)


def by_library(content: bytes) -> dict[str, Any] | None:
    try:
        return {name: (entry["dtype"], (*entry["shape"],), entry["data"]) for name, entry in deserialize(content)}
    except SafetensorError:
        return None


def by_us(content: bytes) -> dict[str, Any] | str:
    try:
        file = parse_tensor_file(content)
    except TensorFileError as error:
        return str(error)
    for stored in file.tensors.values():
        assert stored.tensor().shape == stored.shape
    return {name: (stored.dtype, stored.shape, stored.data) for name, stored in file.tensors.items()}


@given(seed=st.integers(0, 2**32))
def test_a_mutated_file_is_refused_or_read_as_the_library_reads_it(seed: int) -> None:
    content = mutated(CONTENT, random.Random(seed))
    parsed = by_us(content)
    if not isinstance(parsed, str):
        assert parsed == by_library(content)


@given(
    tensors=st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"]), max_size=20).filter(lambda name: name != "__metadata__"),
        st.tuples(st.sampled_from(sorted(DTYPES)), st.lists(st.integers(0, 3), max_size=4)),
        max_size=5,
    ),
    metadata=st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3),
)
def test_every_file_that_the_library_writes_is_read(
    tensors: dict[str, tuple[str, list[int]]], metadata: dict[str, str]
) -> None:
    metadata = {name: text for name, text in metadata.items() if (name + text).isprintable()}
    values = {name: torch.ones(shape).to(DTYPES[dtype]) for name, (dtype, shape) in tensors.items()}
    content = save(values, metadata or None)
    assert by_us(content) == by_library(content)
    assert parse_tensor_file(content).metadata == metadata


@given(content=st.binary(max_size=200), size=st.integers(0, 200))
def test_any_bytes_are_read_or_refused(content: bytes, size: int) -> None:
    by_us(content)
    by_us(size.to_bytes(8, "little") + content)


def test_the_limits_of_a_header_are_exact() -> None:
    entry = {"dtype": "U8", "shape": [1] * 32, "data_offsets": [0, 1]}
    assert isinstance(by_us(put_together({"a" * MAX_NAME_CHARACTERS: entry}, b"1")), dict)
    assert "a name has 1025 characters" in by_us(put_together({"a" * 1025: entry}, b"1"))
    assert "at most 32" in by_us(put_together({"a": entry | {"shape": [1] * 33}}, b"1"))
    assert by_us(put_together(b"{}".ljust(MAX_HEADER_BYTES), b"")) == {}
    assert "expected at most" in by_us(put_together(b"{}".ljust(MAX_HEADER_BYTES + 1), b""))


@pytest.mark.parametrize("shape", [[2**63], [2**61, 1], [0, 2**63], [2**31, 2**31, 2]])
def test_a_shape_that_overflows_is_refused(shape: list[int]) -> None:
    entry = {"dtype": "F32", "shape": shape, "data_offsets": [0, 0]}
    assert "overflows" in by_us(put_together({"a": entry}, b""))
