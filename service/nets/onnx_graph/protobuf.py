"""Fields of a protocol buffer message, read without a schema and without a copy.

A message is a sequence of fields: a key, which holds a number and a wire type, and a value: an integer, or bytes.
"""

from collections.abc import Iterator
from typing import Final

VARINT: Final = 0
BYTES: Final = 2
_FIXED_BYTES: Final = {1: 8, 5: 4}
MAX_VARINT_BYTES: Final = 10


class MessageError(ValueError):
    """Raised for bytes that are no message."""


def read_fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield the number and value of each field; numbers of fixed size are bytes. Raises MessageError."""
    position, end = 0, len(message)
    while position < end:
        key, position = _read_varint(message, position)
        number, wire_type = key >> 3, key & 7
        if wire_type == VARINT:
            value, position = _read_varint(message, position)
            yield number, value
            continue
        if wire_type == BYTES:
            size, position = _read_varint(message, position)
        elif wire_type in _FIXED_BYTES:
            size = _FIXED_BYTES[wire_type]
        else:
            raise MessageError(f"a field of wire type {wire_type}")
        if size > end - position:
            raise MessageError(f"a field of {size} bytes where {end - position} are left")
        yield number, message[position : position + size]
        position += size


def read_messages(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Yield the number and bytes of each field that holds bytes, such as a message. Raises MessageError."""
    for number, value in read_fields(message):
        if not isinstance(value, int):
            yield number, value


def read_integers(value: int | memoryview) -> list[int]:
    """Return the integers of a repeated field: one, or several in a row of bytes."""
    if isinstance(value, int):
        return [signed(value)]
    integers, position = [], 0
    while position < len(value):
        integer, position = _read_varint(value, position)
        integers.append(signed(integer))
    return integers


def signed(value: int) -> int:
    """Return a varint as a signed integer of 64 bits."""
    return value - 2**64 if value >= 2**63 else value


def _read_varint(message: memoryview, position: int) -> tuple[int, int]:
    result = 0
    for index, byte in enumerate(message[position : position + MAX_VARINT_BYTES]):
        result |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return result & (2**64 - 1), position + index + 1
    raise MessageError("a number without an end")
