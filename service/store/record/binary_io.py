"""Binary fields: variable-length integers, length-prefixed bytes, and a sequential reader of them."""

from service.domain.errors import StateCorrupted

#: Size of the largest variable-length integer.
MAX_VARINT_BYTES = 10
_MAX_VARINT = 1 << 7 * MAX_VARINT_BYTES
_SMALL_VARINTS = tuple(bytes((value,)) for value in range(128))


def varint(value: int) -> bytes:
    """Return the unsigned LEB128 encoding of `value`: 7 bits a byte, the lowest first.

    Raises OverflowError for a negative number and for one that takes more than MAX_VARINT_BYTES bytes.
    """
    if 0 <= value < 128:
        return _SMALL_VARINTS[value]
    if not 0 <= value < _MAX_VARINT:
        raise OverflowError(f"number {value} does not fit its field: expected 0 to {_MAX_VARINT - 1}")
    encoded = bytearray()
    while value > 127:
        encoded.append(value & 127 | 128)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def signed_varint(value: int) -> bytes:
    """Return the encoding of a signed integer, whose sign is the lowest bit of a variable-length integer."""
    return varint(value << 1 if value >= 0 else (-value << 1) - 1)


class Reader:
    """Reader of fields from `offset` on. Raises StateCorrupted if the data ends too early."""

    def __init__(self, data: bytes, offset: int) -> None:
        self._data = data
        self.offset = offset

    def raw(self, size: int) -> bytes:
        """Read `size` bytes."""
        end = self.offset + size
        if end > len(self._data):
            raise StateCorrupted(
                f"session record has {len(self._data)} bytes, expected {end} or more by its field at {self.offset}"
            )
        value = self._data[self.offset : end]
        self.offset = end
        return value

    def integer(self, size: int) -> int:
        """Read an unsigned little-endian integer of `size` bytes."""
        return int.from_bytes(self.raw(size), "little")

    def varint(self) -> int:
        """Read an unsigned variable-length integer."""
        value = 0
        for index, byte in enumerate(self._data[self.offset : self.offset + MAX_VARINT_BYTES]):
            value |= (byte & 127) << 7 * index
            if byte < 128:
                self.offset += index + 1
                return value
        raise StateCorrupted(f"session record has no whole number at {self.offset}")

    def signed_varint(self) -> int:
        """Read a signed variable-length integer."""
        value = self.varint()
        return -(value + 1 >> 1) if value & 1 else value >> 1

    def blob(self) -> bytes:
        """Read bytes after their length, a variable-length integer."""
        return self.raw(self.varint())

    def text(self, size: int) -> str:
        """Read `size` bytes of UTF-8."""
        raw = self.raw(size)
        try:
            return raw.decode()
        except UnicodeDecodeError as error:
            raise StateCorrupted(f"session record has a name that is not UTF-8: {raw!r}") from error

    def finish(self) -> None:
        """Raise StateCorrupted if any data is left."""
        if self.offset != len(self._data):
            raise StateCorrupted(
                f"session record has {len(self._data) - self.offset} bytes after its last field, expected 0"
            )
