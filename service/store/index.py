"""The index of live sessions: per tenant one sorted set by creation time and one by expiry.

It serves listing and counting, nothing that a session depends on. An entry outlives its session by up to a quarter of
the TTL and a second, so that most steps need not touch it. Scores of expiry are on the store's clock.
"""

import asyncio
from collections.abc import Sequence
from typing import cast

from service.errors import StateCorrupted
from service.store.coalesce import Coalescers
from service.store.commands import Command, Reply, Script, reading, running, writing
from service.store.cursor import Position
from service.store.errand import Answer, value_of
from service.store.keys import Keys
from service.store.lane import Lane
from service.store.observer import StoreObserver
from service.store.record import Owner, Tombstone, decode
from service.types import Record, SessionPage

_PAGE = 50  # records per round trip
_SCAN = 1000  # records that one listing reads at most; the cursor goes on from there
_PRUNE = 500  # entries that one call of the script drops
_ROUNDS = 20  # calls of the script per tenant and count
_TENANTS = 200  # tenants per round trip


def lifetime(ttl_seconds: int) -> int:
    """How long an entry holds, in milliseconds."""
    return ttl_seconds * 1250 + 1000


class Index:
    """All tenants' indexes; at most `limit` entries each, the oldest are dropped first.

    Entries travel `together` with the steps' own calls; listings, which are large, go by a `lane` of their own.
    """

    def __init__(
        self, lane: Lane, together: Coalescers, keys: Keys, observer: StoreObserver, *, timeout: float, limit: int
    ) -> None:
        self._lane = lane
        self._together = together
        self._keys = keys
        self._observer = observer
        self._timeout = timeout
        self._limit = limit
        self._enter = Script.read("index")
        self._prune = Script.read("prune")

    async def enter(self, tenant: str, session_id: str, record: Record, deadline: float) -> None:
        """List the session until its TTL from now is over, and a margin. Raises StoreUnavailable and StoreFull."""
        arguments = (session_id, record.created_at, lifetime(record.ttl_seconds), self._limit)
        entry = running(self._enter, self._keys.index(tenant), *arguments)
        # The tenant last: whoever forgets an empty tenant looks again afterwards. Another server may have it.
        for command in (entry, writing("SADD", self._keys.tenants, tenant)):
            value_of(command, await self._together.submit(command, deadline))

    async def remove(self, tenant: str, session_ids: Sequence[bytes | str], deadline: float) -> int:
        """Drop entries; returns how many there were. Raises StoreUnavailable."""
        if not session_ids:
            return 0
        created, expiry = self._keys.index(tenant)
        commands = [writing("ZREM", created, *session_ids), writing("ZREM", expiry, *session_ids)]
        return cast("int", (await self._run(commands, deadline))[0])

    async def page(self, tenant: str, model: str | None, limit: int, cursor: str | None) -> SessionPage:
        """A page of live sessions, newest first. Raises InvalidRequest and StoreUnavailable.

        A page can be short, or empty, and still have a cursor: where many sessions are of other models.
        """
        deadline = self._deadline()
        after = Position.parse(cursor) if cursor is not None else None
        found: list[tuple[Position, Record]] = []
        scanned = 0
        exhausted = False
        while len(found) <= limit and scanned < _SCAN and not exhausted:
            places = await self._places(tenant, after, deadline)
            live = await self._read(tenant, places, deadline)
            found += [(place, record) for place, record in live if model in (None, record.model)]
            scanned += len(places)
            exhausted = len(places) < _PAGE
            after = places[-1] if places else after
        if len(found) > limit:
            found, after = found[:limit], found[limit - 1][0]
            exhausted = False
        sessions = [(place.session_id.decode(), record) for place, record in found]
        return SessionPage(sessions, None if exhausted or after is None else after.cursor())

    async def active(self) -> int:
        """Live sessions of all tenants; tells the observer of those found expired. Raises StoreUnavailable."""
        (members,) = await self._run([reading("SMEMBERS", self._keys.tenants)], self._deadline())
        tenants = sorted(cast("list[bytes]", members))
        total = 0
        for start in range(0, len(tenants), _TENANTS):
            total += await self._count([tenant.decode() for tenant in tenants[start : start + _TENANTS]])
        return total

    async def _count(self, tenants: Sequence[str]) -> int:
        left: dict[str, int] = {}
        pending = list(tenants)
        for _ in range(_ROUNDS):
            commands = [running(self._prune, self._keys.index(tenant), _PRUNE) for tenant in pending]
            replies = cast("list[list[int]]", await self._run(commands, self._deadline()))
            self._expired(sum(pruned for pruned, _ in replies))
            left |= {tenant: remaining for tenant, (_, remaining) in zip(pending, replies, strict=True)}
            pending = [tenant for tenant, (pruned, _) in zip(pending, replies, strict=True) if pruned == _PRUNE]
            if not pending:
                break
        await self._forget([tenant for tenant, remaining in left.items() if not remaining])
        return sum(left.values())

    async def _forget(self, tenants: Sequence[str]) -> None:
        if not tenants:
            return
        await self._run([writing("SREM", self._keys.tenants, *tenants)], self._deadline())
        sizes = [reading("ZCARD", self._keys.index(tenant)[1]) for tenant in tenants]
        replies = await self._run(sizes, self._deadline())
        # One may have entered a session between the count and its removal.
        busy = [tenant for tenant, size in zip(tenants, replies, strict=True) if size]
        if busy:
            await self._run([writing("SADD", self._keys.tenants, *busy)], self._deadline())

    async def _places(self, tenant: str, after: Position | None, deadline: float) -> list[Position]:
        """The next entries below `after`; fewer than _PAGE at the end only."""
        created, _ = self._keys.index(tenant)
        top = "+inf" if after is None else after.created_at
        places: list[Position] = []
        offset = 0
        while len(places) < _PAGE:
            # Entries of the same millisecond as `after` come again; the offset passes over any number of them.
            window = ("LIMIT", offset, _PAGE)
            command = reading("ZREVRANGEBYSCORE", created, top, "-inf", "WITHSCORES", *window)
            (reply,) = await self._run([command], deadline)
            flat = cast("list[bytes]", reply)
            read = [Position(int(float(score)), name) for name, score in zip(flat[::2], flat[1::2], strict=True)]
            places += [place for place in read if after is None or place < after]
            if len(read) < _PAGE:
                break
            offset += _PAGE
        return places[:_PAGE]

    async def _read(self, tenant: str, places: Sequence[Position], deadline: float) -> list[tuple[Position, Record]]:
        if not places:
            return []
        owners = [Owner(tenant, place.session_id.decode()) for place in places]
        reads = [reading("GET", self._keys.session(tenant, owner.session_id)) for owner in owners]
        answers = await self._lane.run(reads, deadline)
        found = dict(zip(places, map(_found, reads, answers, owners), strict=True))
        gone = [place.session_id for place, record in found.items() if record is None]
        ended = [place.session_id for place, record in found.items() if isinstance(record, Tombstone)]
        self._expired(await self.remove(tenant, gone, deadline))
        await self.remove(tenant, ended, deadline)
        return [(place, record) for place, record in found.items() if isinstance(record, Record)]

    async def _run(self, commands: Sequence[Command], deadline: float) -> list[Reply]:
        answers = await self._lane.run(commands, deadline)
        return [value_of(command, answer) for command, answer in zip(commands, answers, strict=True)]

    def _expired(self, count: int) -> None:
        if count:
            self._observer.session_ended("expired", count)

    def _deadline(self) -> float:
        return asyncio.get_running_loop().time() + self._timeout


def _found(read: Command, answer: Answer, owner: Owner) -> Record | Tombstone | StateCorrupted | None:
    """What is stored. Raises StoreUnavailable; a record that cannot be read is its own business, not the listing's."""
    try:
        data = value_of(read, answer)
        return decode(data, owner) if isinstance(data, bytes) else None
    except StateCorrupted as error:
        return error
