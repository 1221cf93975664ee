"""Sequential writer and reader of little-endian integers and length-prefixed bytes."""

from service.domain.errors import StateCorrupted


class Writer:
    """Writer of fields. Raises OverflowError for a number or length that its field cannot hold."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def integer(self, value: int, size: int) -> None:
        """Write an unsigned integer of `size` bytes."""
        self._parts.append(value.to_bytes(size, "little"))

    def raw(self, value: bytes) -> None:
        """Write bytes without their length, which the reader must know."""
        self._parts.append(value)

    def blob(self, value: bytes, size: int) -> None:
        """Write the length of `value` as an integer of `size` bytes, then `value`."""
        self.integer(len(value), size)
        self._parts.append(value)

    def text(self, value: str) -> None:
        """Write text as UTF-8 of up to 65,535 bytes, after its length."""
        self.blob(value.encode(), 2)

    def join(self) -> bytes:
        """Return all fields written so far."""
        return b"".join(self._parts)


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
        """Read an unsigned integer of `size` bytes."""
        return int.from_bytes(self.raw(size), "little")

    def blob(self, size: int) -> bytes:
        """Read bytes after their length, which takes `size` bytes."""
        return self.raw(self.integer(size))

    def text(self) -> str:
        """Read UTF-8 text after its length."""
        raw = self.blob(2)
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
