"""Session locks: overlapping steps of one session run one after the other, in arrival order."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from service.application.deadlines import Deadline


class SessionLocks:
    """First-in-first-out locks, one per busy session; idle sessions need no memory."""

    def __init__(self) -> None:
        self._locks: dict[str, tuple[asyncio.Lock, int]] = {}

    def __len__(self) -> int:
        return len(self._locks)

    @asynccontextmanager
    async def acquire(self, session_id: str, deadline: Deadline) -> AsyncIterator[None]:
        """Acquire the lock of a session for the block. Raises DeadlineExceeded if the deadline passes first."""
        lock, users = self._locks.get(session_id, (asyncio.Lock(), 0))
        self._locks[session_id] = (lock, users + 1)
        try:
            if users:
                async with deadline.enforce():
                    await lock.acquire()
            else:
                await lock.acquire()  # at once: nobody is before us
            try:
                yield
            finally:
                lock.release()
        finally:
            lock, users = self._locks[session_id]
            if users == 1:
                del self._locks[session_id]
            else:
                self._locks[session_id] = (lock, users - 1)
