"""Headers of safetensors files, checked against the size of the file before memory is allocated for a tensor.

A file is the length of its header (8 bytes, little-endian), the header in JSON, and the data of the tensors without
gaps. The header names the dtype, the shape and the place of each tensor.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

import torch

from service.nets.config.bounded_json import parse_json
from service.nets.config.loader import quote

DTYPES: dict[str, torch.dtype] = {
    "BOOL": torch.bool,
    "U8": torch.uint8,
    "I8": torch.int8,
    "I16": torch.int16,
    "I32": torch.int32,
    "I64": torch.int64,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F32": torch.float32,
    "F64": torch.float64,
}
LENGTH_BYTES = 8
#: Enough for tens of thousands of tensors. Python takes about ten times as many bytes for a parsed header.
MAX_HEADER_BYTES = 2**22
MAX_NAME_CHARACTERS = 1024
MAX_DIMENSIONS = 32
#: PyTorch counts elements and bytes in signed 64-bit integers.
MAX_TENSOR_BYTES = 2**63 - 1


class TensorFileError(Exception):
    """Raised for bytes that are no safetensors file; the message says what they are."""


@dataclass(frozen=True, slots=True)
class TensorEntry:
    """The dtype and shape of a tensor, and its bytes `begin` to `end` of the data."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class TensorHeader:
    """The entries of all tensors by name, and the metadata. The data begins at byte `size` of the file."""

    entries: dict[str, TensorEntry]
    metadata: dict[str, str]
    size: int


def header_size(start: bytes, file_size: int) -> int:
    """Return the number of bytes before the data, given the first bytes of a file. Raises ValueError."""
    if len(start) < LENGTH_BYTES:
        raise ValueError(f"it has {len(start)} bytes")
    length = int.from_bytes(start[:LENGTH_BYTES], "little")
    if length > file_size - LENGTH_BYTES:
        raise ValueError(f"its header has {length} bytes, the file {file_size}")
    if length > MAX_HEADER_BYTES:
        raise ValueError(f"its header has {length} bytes, expected at most {MAX_HEADER_BYTES}")
    return LENGTH_BYTES + length


def parse_header(start: bytes, file_size: int, max_tensors: int | None = None) -> TensorHeader:
    """Parse the bytes before the data of a file of `file_size` bytes with at most `max_tensors`.

    Raises ValueError, and TensorFileError for a dtype that this release does not read.
    """
    fields = _read_json(start[LENGTH_BYTES:])
    metadata = _read_metadata(fields.pop("__metadata__", None))
    if max_tensors is not None and len(fields) > max_tensors:
        raise ValueError(f"it has {len(fields)} tensors, expected at most {max_tensors}")
    entries = {name: _read_entry(name, value) for name, value in fields.items()}
    _check_places(entries, file_size - len(start))
    return TensorHeader(entries, metadata, len(start))


def _read_json(content: bytes) -> dict[str, object]:
    if not content.startswith(b"{"):
        raise ValueError("its header is no JSON object")
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"its header is no UTF-8: {error.reason}") from error
    fields = parse_json(content)
    if not isinstance(fields, dict):
        raise ValueError("its header is no JSON object")
    return fields


def _read_metadata(value: object) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError(f"__metadata__ is {quote(value)}, expected an object")
    for name, text in value.items():
        if not isinstance(text, str):
            raise ValueError(f"__metadata__.{name[:80]} is {quote(text)}, expected a string")
    return value


def _read_entry(name: str, value: object) -> TensorEntry:
    if len(name) > MAX_NAME_CHARACTERS:
        raise ValueError(f"a name has {len(name)} characters, expected at most {MAX_NAME_CHARACTERS}")
    if not isinstance(value, dict) or not {"dtype", "shape", "data_offsets"} <= value.keys():
        raise ValueError(f"{name[:80]} is {quote(value)[:80]}, expected dtype, shape and data_offsets")
    dtype, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        found = dtype[:80] if isinstance(dtype, str) else quote(dtype)
        raise TensorFileError(f"{name[:80]}: found dtype {found}, expected one of {', '.join(DTYPES)}")
    if not _are_counts(shape, MAX_DIMENSIONS):
        expected = f"at most {MAX_DIMENSIONS} numbers of 0 or above"
        raise ValueError(f"{name[:80]}: the shape is {quote(shape)[:80]}, expected {expected}")
    if not _are_counts(offsets, 2, 2):
        raise ValueError(f"{name[:80]}: the offsets are {quote(offsets)[:80]}, expected two numbers of 0 or above")
    entry = TensorEntry(dtype, tuple(shape), *offsets)
    _check_size(name, entry)
    return entry


def _are_counts(value: object, max_length: int, min_length: int = 0) -> bool:
    """Return whether a value is a list of so many integers from 0; booleans are none."""
    if not isinstance(value, list) or not min_length <= len(value) <= max_length:
        return False
    return all(type(number) is int and number >= 0 for number in value)


def _check_size(name: str, entry: TensorEntry) -> None:
    itemsize = DTYPES[entry.dtype].itemsize
    # A tensor without elements has strides too, which are products of the other dimensions.
    elements = prod(entry.shape) or prod(max(size, 1) for size in entry.shape)
    if itemsize * elements > MAX_TENSOR_BYTES:
        raise ValueError(f"{name[:80]}: the shape {str([*entry.shape])[:80]} overflows")
    size, expected = entry.end - entry.begin, itemsize * prod(entry.shape)
    if size != expected:
        raise ValueError(f"{name[:80]}: the offsets span {size} bytes, expected {expected} by dtype and shape")


def _check_places(entries: Mapping[str, TensorEntry], data_bytes: int) -> None:
    """Raise ValueError unless the tensors follow each other without a gap and fill the data."""
    position = 0
    for begin, end, name in sorted((entry.begin, entry.end, name) for name, entry in entries.items()):
        if begin != position:
            raise ValueError(f"{name[:80]}: the offset {begin} is wrong, expected {position}")
        position = end
    if position != data_bytes:
        raise ValueError(f"its tensors have {position} bytes, the data {data_bytes}: the last offset is wrong")
