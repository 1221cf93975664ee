"""The records that this worker read or wrote last, each with the bytes that the store had of it.

A session that stays with this worker goes on from there without asking the store: its next write compares those bytes,
all of them, so that nothing another worker wrote, and no damage, is ever missed. A session that moves between workers
is read first: a forward pass from what is out of date is lost.
"""

from collections import OrderedDict
from dataclasses import dataclass

from service.domain.sessions import Record

#: The largest record that a write has the store compare as a whole: 64 KiB take it less than a tenth of a millisecond.
COMPARED_BYTES = 64 * 1024


@dataclass(slots=True)
class _Entry:
    stored: bytes
    record: Record
    stays: bool


class RecordCache:
    """Records by key, the least recently used dropped first; `limit` bounds the bytes of all, the stored ones too."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = 0
        self._entries: OrderedDict[str, _Entry] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def staying(self, key: str) -> Record | None:
        """The record to go on from unread, if there is one."""
        entry = self._entries.get(key)
        if entry is None or not entry.stays or len(entry.stored) > COMPARED_BYTES:
            return None
        return entry.record

    def stored_as(self, key: str, stored: bytes) -> Record | None:
        """The record that these bytes, just read, are known to be; None where they are others."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        entry.stays = entry.stored == stored
        self._entries.move_to_end(key)
        return entry.record if entry.stays else None

    def put(self, key: str, stored: bytes, record: Record) -> None:
        """Hold a record with the bytes that it is stored as."""
        before = self._entries.pop(key, None)
        if before is not None:
            self._held -= 2 * len(before.stored)
        self._entries[key] = _Entry(stored, record, before is None or before.stays)
        self._held += 2 * len(stored)
        while self._held > self._limit:
            self._held -= 2 * len(self._entries.popitem(last=False)[1].stored)

    def doubt(self, key: str) -> bool:
        """Have a record read before it is used again: it was found to be another one. Tells whether it was trusted."""
        entry = self._entries.get(key)
        if entry is None:
            return False
        trusted, entry.stays = entry.stays, False
        return trusted
