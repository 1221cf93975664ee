"""Sessions stepped without a pause while something happens to the store, and the proof of what became of each step.

A session's state is the list of the attempts that it took: a fold, as every session's state is.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from store_support import make_record, stepped

from service.domain.errors import DurabilityNotReached, StoreUnavailable, WriteConflict
from service.domain.sessions import Durability, Record
from service.store import RedisStore

TENANT = "tenant"
WAIT_SECONDS = 60.0
_ATTEMPT_BYTES = 4


@dataclass
class Journal:
    """What one client was told of each of its attempts."""

    session_id: str
    acknowledged: list[int] = field(default_factory=list)
    refused: list[int] = field(default_factory=list)
    unclear: list[int] = field(default_factory=list)
    attempts: int = 0

    async def step(self, store: RedisStore, record: Record) -> Record:
        """Apply one attempt; returns the record to go on from."""
        self.attempts += 1
        attempt = self.attempts
        try:
            written = await store.write(
                TENANT,
                self.session_id,
                replace(stepped(record), state=record.state + attempt.to_bytes(_ATTEMPT_BYTES, "big")),
            )
        except DurabilityNotReached:
            return await self._repeat(store, attempt)
        except StoreUnavailable as error:
            (self.refused if error.applied == "no" else self.unclear).append(attempt)
        except WriteConflict:
            self.refused.append(attempt)
        else:
            self.acknowledged.append(attempt)
            return written
        return await self.read(store)

    async def _repeat(self, store: RedisStore, attempt: int) -> Record:
        """Send the request again, as its client would: it is answered once its step is confirmed."""
        found = await self.read(store)
        if found.state.endswith(attempt.to_bytes(_ATTEMPT_BYTES, "big")):
            with contextlib.suppress(DurabilityNotReached, StoreUnavailable, WriteConflict):
                await store.confirm(TENANT, self.session_id, found)
                self.acknowledged.append(attempt)
                return found
        self.unclear.append(attempt)
        return found

    async def read(self, store: RedisStore) -> Record:
        """The record, as soon as the store has it."""
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                try:
                    found = await store.read(TENANT, self.session_id)
                except StoreUnavailable:
                    continue
                assert found is not None, f"{self.session_id} is gone"
                return found

    async def run(self, store: RedisStore, durability: Durability, stop: asyncio.Event) -> None:
        record = await store.create(
            TENANT, self.session_id, make_record(state=b"", ttl_seconds=600, durability=durability)
        )
        while not stop.is_set():
            record = await self.step(store, record)

    async def more(self, count: int = 5) -> None:
        """Return after so many further acknowledgements."""
        wanted = len(self.acknowledged) + count
        async with asyncio.timeout(WAIT_SECONDS):
            while len(self.acknowledged) < wanted:
                await asyncio.to_thread(time.sleep, 0.01)

    def check(self, record: Record) -> None:
        """Every acknowledged attempt is in the state, once and in order; none is that was said not to be applied."""
        state = record.state
        taken = [int.from_bytes(state[at : at + 4], "big") for at in range(0, len(state), _ATTEMPT_BYTES)]
        assert len(taken) == record.step
        assert taken == sorted(set(taken)), f"{self.session_id} took a step twice, or steps out of order"
        assert not set(self.acknowledged) - set(taken), f"{self.session_id} lost acknowledged steps"
        assert not set(self.refused) & set(taken), f"{self.session_id} took steps that were refused"


@asynccontextmanager
async def stepping(
    store: RedisStore, session_ids: Iterable[str], durability: Durability
) -> AsyncIterator[list[Journal]]:
    """Sessions that are stepped meanwhile; checked at the end."""
    journals = [Journal(name) for name in session_ids]
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for journal in journals:
            group.create_task(journal.run(store, durability, stop))
        await all_step(journals)
        try:
            yield journals
        finally:
            stop.set()
    for journal in journals:
        journal.check(await journal.read(store))


async def all_step(journals: Iterable[Journal], count: int = 5) -> None:
    """Return after so many further acknowledged steps of each session."""
    await asyncio.gather(*(journal.more(count) for journal in journals))
