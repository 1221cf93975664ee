"""Little-endian integers and length-prefixed bytes, written one after the other and read back."""

from service.domain.errors import StateCorrupted


class Writer:
    """Collects fields. Raises OverflowError for a number or length that its field cannot hold."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def integer(self, value: int, size: int) -> None:
        """An unsigned integer of `size` bytes."""
        self._parts.append(value.to_bytes(size, "little"))

    def raw(self, value: bytes) -> None:
        """Bytes whose length the reader knows."""
        self._parts.append(value)

    def blob(self, value: bytes, size: int) -> None:
        """Bytes, behind their length as an integer of `size` bytes."""
        self.integer(len(value), size)
        self._parts.append(value)

    def text(self, value: str) -> None:
        """UTF-8 of up to 65,535 bytes."""
        self.blob(value.encode(), 2)

    def join(self) -> bytes:
        """All fields so far."""
        return b"".join(self._parts)


class Reader:
    """Reads fields from `at` on. Raises StateCorrupted where the data ends too early."""

    def __init__(self, data: bytes, at: int) -> None:
        self._data = data
        self.at = at

    def take(self, size: int) -> bytes:
        """The next `size` bytes."""
        end = self.at + size
        if end > len(self._data):
            raise StateCorrupted(
                f"session record has {len(self._data)} bytes, expected {end} or more by its field at {self.at}"
            )
        taken = self._data[self.at : end]
        self.at = end
        return taken

    def integer(self, size: int) -> int:
        """The next unsigned integer of `size` bytes."""
        return int.from_bytes(self.take(size), "little")

    def blob(self, size: int) -> bytes:
        """The next bytes, whose length takes `size` bytes."""
        return self.take(self.integer(size))

    def text(self) -> str:
        """The next UTF-8 text."""
        raw = self.blob(2)
        try:
            return raw.decode()
        except UnicodeDecodeError as error:
            raise StateCorrupted(f"session record has a name that is not UTF-8: {raw!r}") from error

    def finish(self) -> None:
        """Check that nothing is left over."""
        if self.at != len(self._data):
            raise StateCorrupted(
                f"session record has {len(self._data) - self.at} bytes after its last field, expected 0"
            )
