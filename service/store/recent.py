"""The records that this worker read or wrote last, each with the bytes that the store has of it.

A stream that stays with a worker finds its record there: the store's bytes are compared, not read, checked and copied
again. Since the store is asked each time, a record that another worker wrote, or that was damaged, is never missed.
"""

from collections import OrderedDict

from service.types import Record


class Recent:
    """Records by key, the least recently used dropped first; `limit` bounds the bytes of all, the stored ones too."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = 0
        self._entries: OrderedDict[str, tuple[bytes, Record]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def knows(self, key: str) -> bool:
        """Whether a record of that key is held, be it the stored one or not."""
        return key in self._entries

    def get(self, key: str, stored: bytes) -> Record | None:
        """The record that was stored as these bytes, if it is held."""
        entry = self._entries.get(key)
        if entry is None or entry[0] != stored:
            return None
        self._entries.move_to_end(key)
        return entry[1]

    def put(self, key: str, stored: bytes, record: Record) -> None:
        """Hold a record with the bytes that it is stored as."""
        self.drop(key)
        self._entries[key] = (stored, record)
        self._held += 2 * len(stored)
        while self._held > self._limit:
            self.drop(next(iter(self._entries)))

    def drop(self, key: str) -> None:
        """Forget a record."""
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._held -= 2 * len(entry[0])
