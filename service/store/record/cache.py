"""Cache of session records, each with the bytes that the store held when this worker last read or wrote it.

A worker continues a session from its cached record without a read. The next write compares the stored bytes with the
cached ones, so neither another worker's write nor damage goes unnoticed. A session that several workers write is read
before every step, because a forward pass from a stale record is wasted.
"""

from collections import OrderedDict
from dataclasses import dataclass

from service.domain.sessions import Record

#: Size of the largest record that a write compares as a whole. The store compares 64 KiB in less than 0.1 ms.
MAX_COMPARED_BYTES = 64 * 1024


@dataclass(slots=True)
class _Entry:
    stored: bytes
    record: Record
    trusted: bool


class RecordCache:
    """LRU cache of records by key, limited to `max_bytes` of records together with their stored bytes."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._entries: OrderedDict[str, _Entry] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get_trusted(self, key: str) -> Record | None:
        """Return the record if it can be used without a read, else None."""
        entry = self._entries.get(key)
        if entry is None or not entry.trusted or len(entry.stored) > MAX_COMPARED_BYTES:
            return None
        return entry.record

    def get_if_stored_as(self, key: str, stored: bytes) -> Record | None:
        """Return the record if `stored`, which was just read, are its bytes, else None."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        entry.trusted = entry.stored == stored
        self._entries.move_to_end(key)
        return entry.record if entry.trusted else None

    def put(self, key: str, stored: bytes, record: Record) -> None:
        """Add or replace a record and its stored bytes, and evict the least recently used records over the limit."""
        previous = self._entries.pop(key, None)
        if previous is not None:
            self._bytes -= 2 * len(previous.stored)
        self._entries[key] = _Entry(stored, record, previous is None or previous.trusted)
        self._bytes += 2 * len(stored)
        while self._bytes > self._max_bytes:
            self._bytes -= 2 * len(self._entries.popitem(last=False)[1].stored)

    def mark_stale(self, key: str) -> bool:
        """Require a read before the record is used again. Returns whether the record was trusted until now."""
        entry = self._entries.get(key)
        if entry is None:
            return False
        was_trusted, entry.trusted = entry.trusted, False
        return was_trusted

    def remove(self, key: str) -> None:
        """Remove the record of a session that has ended, or has expired."""
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._bytes -= 2 * len(entry.stored)
