"""Tensors of the Open Inference Protocol as values: their descriptions, and their elements as packed bytes.

The bytes of a tensor are little-endian and in row-major order. An element of BYTES is its length, 4 bytes, and its
content; one of BOOL is a byte. Elements are converted by functions of the standard library that take all of them at
once. Standard library only.
"""

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from service.domain.errors import InvalidRequest

#: The code in `struct` of each datatype of numbers; BF16 is the upper half of a float32.
CODES: Final = {
    "BOOL": "?", "UINT8": "B", "UINT16": "H", "UINT32": "I", "UINT64": "Q", "INT8": "b", "INT16": "h", "INT32": "i",
    "INT64": "q", "FP16": "e", "FP32": "f", "FP64": "d", "BF16": "f",
}  # fmt: skip
SIZES: Final = {name: struct.calcsize(f"<{code}") for name, code in CODES.items()} | {"BF16": 2}
INTEGERS: Final = frozenset(name for name in CODES if "INT" in name)
FLOATS: Final = frozenset({"FP16", "FP32", "FP64", "BF16"})
#: The datatypes that an input may have, by the one that describes it.
ACCEPTED: Final[dict[str, frozenset[str]]] = (
    {"BYTES": frozenset({"BYTES"}), "BOOL": frozenset({"BOOL"})}
    | dict.fromkeys(INTEGERS, INTEGERS)
    | dict.fromkeys(FLOATS, INTEGERS | FLOATS)
)
DATATYPES: Final = (*CODES, "BYTES")
_LENGTH: Final = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """Description of an input or output of a model; -1 in `shape` is any size, and the first is that of the batch."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor whose bytes fit its shape."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: bytes

    @property
    def count(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    def elements(self) -> Sequence[Any]:
        """Return all elements as Python values, those of BYTES as bytes."""
        return unpack(self.datatype, self.count, self.data)

    def rows(self) -> list[Sequence[Any]]:
        """Return the elements of each row of the batch."""
        elements, batch = self.elements(), self.shape[0]
        size = len(elements) // batch if batch else 0
        return [elements[index * size : (index + 1) * size] for index in range(batch)]


def make_tensor(name: str, datatype: str, shape: tuple[int, ...], elements: Sequence[Any]) -> Tensor:
    """Return a tensor of elements that fit its datatype."""
    return Tensor(name, datatype, shape, pack(datatype, elements))


def pack(datatype: str, elements: Sequence[Any]) -> bytes:
    """Return the bytes of elements. Raises struct.error or OverflowError for one that the datatype cannot hold."""
    if datatype == "BYTES":
        return b"".join(part for element in elements for part in (_LENGTH.pack(len(element)), element))
    packed = struct.pack(f"<{len(elements)}{CODES[datatype]}", *elements)
    return _upper_halves(packed) if datatype == "BF16" else packed


def unpack(datatype: str, count: int, data: bytes) -> Sequence[Any]:
    """Return the elements of bytes that `require_size` has accepted."""
    if datatype == "BYTES":
        return _split(data, count)
    if datatype == "BF16":
        data = _from_upper_halves(data)
    return struct.unpack(f"<{count}{CODES[datatype]}", data)


def require_size(name: str, datatype: str, shape: tuple[int, ...], data: bytes) -> None:
    """Raise InvalidRequest if the bytes of a tensor do not fit its datatype and shape."""
    count = math.prod(shape)
    if datatype == "BYTES":
        elements = _split(data, count)
        if len(elements) != count or sum(map(len, elements)) + _LENGTH.size * count != len(data):
            raise InvalidRequest(
                f"{name} has {len(data)} bytes that are not {count} elements of BYTES: expected of each its length in "
                "4 bytes, little-endian, and as many bytes",
                param=name,
            )
        return
    expected = count * SIZES[datatype]
    if len(data) != expected:
        raise InvalidRequest(
            f"{name} has {len(data)} bytes: expected {expected}, for the shape {[*shape]} of {datatype}", param=name
        )


def _split(data: bytes, count: int) -> list[bytes]:
    """Return up to `count` elements of BYTES, all that are complete."""
    elements: list[bytes] = []
    start = 0
    while len(elements) < count and start + _LENGTH.size <= len(data):
        (length,) = _LENGTH.unpack_from(data, start)
        start += _LENGTH.size
        if start + length > len(data):
            break
        elements.append(data[start : start + length])
        start += length
    return elements


def _upper_halves(floats: bytes) -> bytes:
    """Return the upper halves of little-endian float32, truncated."""
    halves = bytearray(len(floats) // 2)
    halves[0::2], halves[1::2] = floats[2::4], floats[3::4]
    return bytes(halves)


def _from_upper_halves(halves: bytes) -> bytes:
    floats = bytearray(2 * len(halves))
    floats[2::4], floats[3::4] = halves[0::2], halves[1::2]
    return bytes(floats)
