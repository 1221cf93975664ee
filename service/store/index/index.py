"""The index of live sessions: per tenant one sorted set in the order of listings and one by expiry.

It serves listing and counting, nothing that a session depends on. An entry outlives its session by up to a quarter of
the TTL and a second, so that most steps need not touch it. Its member holds creation time and id (`ListingPosition`).
The first set is sorted by these bytes alone, so that a listing goes on at any place at once; and a session that
is created again by its key gets another entry. Scores of expiry are on the store's clock.
"""

import asyncio
from collections.abc import Sequence
from typing import cast

from service.domain.errors import StateCorrupted
from service.domain.sessions import Record, SessionPage, SessionSummary
from service.store.driver.commands import (
    Command,
    CommandResult,
    Reply,
    Script,
    read_command,
    script_command,
    write_command,
)
from service.store.driver.executor import CommandExecutor
from service.store.driver.group_commit import ShardedGroupCommit
from service.store.index.cursor import ListingPosition
from service.store.index.expiry import ExpirySweep
from service.store.keys import Keys
from service.store.observer import StoreObserver
from service.store.record.codec import HEAD_BYTES, RecordOwner, Tombstone, decode_head

_PORTION = 100  # sessions per round trip
_SCAN = 1000  # sessions that one listing looks at, about; the cursor goes on from there
_SAMPLE_FRACTION = 0.5  # of its time, after which a listing ends with what it has found
_OUTLIVES_MS = 24 * 60 * 60 * 1000  # an index that nobody prunes ends so long after its last entry


def lifetime(ttl_seconds: int) -> int:
    """How long an entry holds, in milliseconds."""
    return ttl_seconds * 1250 + 1000


class SessionIndex:
    """All tenants' indexes; at most `limit` entries each, the oldest are dropped first.

    Entries travel `together` with the steps' own calls; listings, which are large, go by a `lane` of their own.
    """

    def __init__(
        self,
        lane: CommandExecutor,
        together: ShardedGroupCommit,
        keys: Keys,
        observer: StoreObserver,
        *,
        timeout: float,
        limit: int,
    ) -> None:
        self._lane = lane
        self._together = together
        self._keys = keys
        self._observer = observer
        self._timeout = timeout
        self._limit = limit
        self._enter = Script.read("index")
        self._pruning = ExpirySweep(lambda commands: self._run(commands, self._deadline()), keys, self._expired)

    async def enter(self, tenant: str, session_id: str, record: Record, deadline: float) -> None:
        """List the session until its TTL from now is over, and a margin. Raises StoreUnavailable and StoreFull."""
        member = ListingPosition(record.created_at, session_id.encode()).member
        arguments = (member, lifetime(record.ttl_seconds), self._limit, _OUTLIVES_MS)
        entry = script_command(self._enter, self._keys.index(tenant), *arguments)
        # The tenant last: whoever forgets an empty tenant looks again afterwards. Another server may have it.
        for command in (entry, write_command("SADD", self._keys.tenants, tenant)):
            (await self._together.submit(command, deadline)).value()

    async def leave(self, tenant: str, session_id: str, record: Record, deadline: float) -> None:
        """List the session no more. Raises StoreUnavailable."""
        await self._drop(tenant, [ListingPosition(record.created_at, session_id.encode())], deadline)

    async def page(self, tenant: str, model: str | None, limit: int, cursor: str | None) -> SessionPage:
        """A page of live sessions, newest first. Raises InvalidRequest and StoreUnavailable.

        A page can be short, or empty, and still have a cursor: where many sessions are of other models, or the store is
        slow.
        """
        deadline = self._deadline()
        enough = deadline - self._timeout * (1 - _SAMPLE_FRACTION)
        after = ListingPosition.parse(cursor) if cursor is not None else None
        found: list[tuple[ListingPosition, SessionSummary]] = []
        scanned = 0
        exhausted = False
        portion = min(limit + 1, _PORTION)
        while len(found) <= limit and not exhausted and (not scanned or (scanned < _SCAN and _now() < enough)):
            places = await self._places(tenant, after, portion, deadline)
            live = await self._read(tenant, places, deadline)
            found += [(place, facts) for place, facts in live if model in (None, facts.model)]
            scanned += len(places)
            exhausted = len(places) < portion
            after = places[-1] if places else after
            portion = _PORTION
        if len(found) > limit:
            found, after = found[:limit], found[limit - 1][0]
            exhausted = False
        sessions = [(place.session_id.decode(), facts) for place, facts in found]
        return SessionPage(sessions, None if exhausted or after is None else after.cursor())

    async def active(self) -> int:
        """Live sessions of all tenants; tells the observer of those found expired. Raises StoreUnavailable."""
        return await self._pruning.active()

    async def _places(
        self, tenant: str, after: ListingPosition | None, count: int, deadline: float
    ) -> list[ListingPosition]:
        """The next entries below `after`; fewer than `count` at the end only."""
        created, _ = self._keys.index(tenant)
        top = b"+" if after is None else b"(" + after.member
        (reply,) = await self._run([read_command("ZREVRANGEBYLEX", created, top, "-", "LIMIT", 0, count)], deadline)
        return [ListingPosition.of(member) for member in cast("list[bytes]", reply)]

    async def _read(
        self, tenant: str, places: Sequence[ListingPosition], deadline: float
    ) -> list[tuple[ListingPosition, SessionSummary]]:
        """The sessions at those places; entries without theirs are dropped."""
        if not places:
            return []
        owners = [RecordOwner(tenant, place.session_id.decode()) for place in places]
        keys = [self._keys.session(tenant, owner.session_id) for owner in owners]
        commands = [read_command("GETRANGE", key, 0, HEAD_BYTES - 1) for key in keys]
        answers = await self._lane.run(commands, deadline)
        found: list[tuple[ListingPosition, SessionSummary]] = []
        gone: list[ListingPosition] = []
        ended: list[ListingPosition] = []
        for place, owner, answer in zip(places, owners, answers, strict=True):
            try:
                head = _head(answer, owner)
            except StateCorrupted:
                continue  # kept for inspection
            if head is None or head.created_at != place.created_at:
                gone.append(place)
            elif isinstance(head, Tombstone):
                ended.append(place)
            else:
                found.append((place, head))
        self._expired(await self._drop(tenant, gone, deadline))
        await self._drop(tenant, ended, deadline)
        return found

    async def _drop(self, tenant: str, places: Sequence[ListingPosition], deadline: float) -> int:
        """Drop entries; returns how many there were."""
        if not places:
            return 0
        members = [place.member for place in places]
        # What is left of a drop that is interrupted here must be the entry that is pruned.
        commands = [write_command("ZREM", key, *members) for key in self._keys.index(tenant)]
        return cast("int", (await self._run(commands, deadline))[0])

    async def _run(self, commands: Sequence[Command], deadline: float) -> list[Reply]:
        return await self._lane.values(commands, deadline)

    def _expired(self, count: int) -> None:
        if count:
            self._observer.session_ended("expired", count)

    def _deadline(self) -> float:
        return _now() + self._timeout


def _now() -> float:
    return asyncio.get_running_loop().time()


def _head(answer: CommandResult, owner: RecordOwner) -> SessionSummary | Tombstone | None:
    stored = answer.value()
    return decode_head(stored, owner) if isinstance(stored, bytes) and stored else None
