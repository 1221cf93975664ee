"""Index of live sessions: for each tenant, one sorted set in the order of listings and one by expiry.

It serves listings and counts; no session depends on it. An entry outlives its session by up to a quarter of the TTL and
a second, so that most steps need not update it. Its member is a `ListingPosition`, which holds creation time and id.
The first set is sorted by members alone, so a listing continues at any position at once, and a session that is created
again under its key gets another entry. The scores of the second set are expiry times on the store's clock.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import cast

from service.domain.errors import StateCorrupted
from service.domain.sessions import Record, SessionPage, SessionSummary
from service.store.driver.commands import (
    Command,
    CommandResult,
    Script,
    read_command,
    script_command,
    write_command,
)
from service.store.driver.executor import CommandExecutor
from service.store.driver.group_commit import ShardedGroupCommit
from service.store.index.cursor import ListingPosition
from service.store.index.expiry import ExpirySweep
from service.store.index.ranges import merge, read_older
from service.store.index.reservations import Reservations, reserved_bytes, size_class
from service.store.keys import Keys
from service.store.observer import StoreObserver
from service.store.record.codec import HEAD_BYTES, Tombstone, decode_head
from service.store.record.owner import RecordOwner

_PAGE_SIZE = 100  # sessions per round trip
_MAX_SCANNED = 1000  # approximate number of sessions that one listing reads; its cursor continues from there
_SCAN_TIME_FRACTION = 0.5  # part of the timeout after which a listing returns what it has
_IDLE_INDEX_MS = 24 * 60 * 60 * 1000  # an index that is no longer swept expires so long after its last entry


def entry_lifetime_ms(ttl_seconds: int) -> int:
    """Return how long the index entry of a session with that TTL lasts, in milliseconds."""
    return ttl_seconds * 1250 + 1000


def extend_indexed_until(record: Record) -> tuple[Record, bool]:
    """Return the record with the expiry time of its index entry, and whether the entry must be written."""
    indexed_until = record.expires_at - record.ttl_seconds * 1000 + entry_lifetime_ms(record.ttl_seconds)
    if record.expires_at > record.indexed_until or indexed_until < record.indexed_until:
        return replace(record, indexed_until=indexed_until), True
    return record, False


class SessionIndex:
    """The indexes of all tenants, with at most `limit` entries each; the oldest entries are dropped first.

    Entries are written through `group_commit`, with the steps' own commands. Listings are large and use `executor`.
    """

    def __init__(
        self,
        executor: CommandExecutor,
        group_commit: ShardedGroupCommit,
        keys: Keys,
        observer: StoreObserver,
        *,
        reservations: Reservations,
        timeout: float,
        limit: int,
    ) -> None:
        self._executor = executor
        self._group_commit = group_commit
        self._keys = keys
        self._observer = observer
        self._timeout = timeout
        self._limit = limit
        self._add_script, self._remove_script = (Script.read(name, "sizes") for name in ("index", "remove"))
        self._reservations = reservations
        self._sweep = ExpirySweep(
            lambda commands: self._executor.values(commands, self._deadline()), keys, self._report_expired
        )

    async def reserve(self, tenant: str, session_id: str, record: Record, size: int, deadline: float) -> None:
        """Reserve memory for a session, new or not. Raises as `Reservations.reserve`."""
        member = ListingPosition(record.created_at, session_id.encode()).member
        lifetime = entry_lifetime_ms(record.ttl_seconds)
        await self._reservations.reserve(tenant, member, size=size, lifetime_ms=lifetime, deadline=deadline)

    async def reserve_growth(self, tenant: str, session_id: str, record: Record, size: int, deadline: float) -> None:
        """Reserve memory for a session that outgrows its first reservation, unless this worker has. Raises likewise."""
        member = ListingPosition(record.created_at, session_id.encode()).member
        if not self._reservations.covers(member, size):
            await self.reserve(tenant, session_id, record, size, deadline)
            self._reservations.remember(member, size)

    async def add(self, tenant: str, session_id: str, record: Record, deadline: float) -> None:
        """Add or renew a session's entry for its TTL and a margin. Raises StoreUnavailable and StoreFull."""
        # The tenant last: a sweep that removes an empty tenant checks again afterwards. The keys may be on two servers.
        for command in (self._entry_command(tenant, session_id, record), self._tenant_command(tenant)):
            (await self._group_commit.submit(command, deadline)).value()

    async def add_reserved(self, tenant: str, session_id: str, record: Record, deadline: float) -> None:
        """Add the entry of a session whose memory is reserved. Raises as `add`."""
        # The tenant is not empty, so no sweep removes it meanwhile.
        commands = (self._entry_command(tenant, session_id, record), self._tenant_command(tenant))
        for result in await asyncio.gather(*(self._group_commit.submit(command, deadline) for command in commands)):
            result.value()

    def _entry_command(self, tenant: str, session_id: str, record: Record) -> Command:
        position = ListingPosition(record.created_at, session_id.encode())
        lifetime, size = entry_lifetime_ms(record.ttl_seconds), size_class(reserved_bytes(record))
        arguments = (position.member, lifetime, self._limit, _IDLE_INDEX_MS, position.text_member, size)
        return script_command(self._add_script, self._keys.index_scripts(tenant), *arguments)

    def _tenant_command(self, tenant: str) -> Command:
        return write_command("SADD", self._keys.tenants, tenant)

    async def remove(self, tenant: str, session_id: str, record: Record, deadline: float) -> None:
        """Remove a session's entry. Raises StoreUnavailable."""
        await self._remove(tenant, [ListingPosition(record.created_at, session_id.encode())], deadline)

    async def page(self, tenant: str, models: frozenset[str] | None, limit: int, cursor: str | None) -> SessionPage:
        """Return a page of live sessions on `models` (None: all), newest first.

        Raises InvalidRequest and StoreUnavailable.

        A page can be short, or empty, and still have a cursor, if many sessions use other models or the store is slow.
        """
        scan = _Scan(limit, ListingPosition.parse(cursor) if cursor is not None else None)
        deadline = self._deadline()
        scan_until = deadline - self._timeout * (1 - _SCAN_TIME_FRACTION)
        while not scan.scanned or (scan.wants_more and _now() < scan_until):
            size = _PAGE_SIZE if scan.scanned else min(limit + 1, _PAGE_SIZE)
            positions = await self._positions(tenant, scan.after, size, deadline)
            sessions = await self._read(tenant, positions, deadline)
            found = [(position, head) for position, head in sessions if models is None or head.model in models]
            scan.add(positions, found, size)
            if scan.exhausted:
                break
        return scan.page()

    async def active(self) -> int:
        """Return the number of live sessions of all tenants, and report the expired ones. Raises StoreUnavailable."""
        return await self._sweep.prune_and_count()

    async def _positions(
        self, tenant: str, after: ListingPosition | None, count: int, deadline: float
    ) -> list[ListingPosition]:
        """Return the next positions after `after`; fewer than `count` only at the end."""
        created, _ = self._keys.index(tenant)
        replies = await self._executor.values(read_older(created, after, count), deadline)
        return merge(replies, count, newest_first=True)

    async def _read(
        self, tenant: str, positions: Sequence[ListingPosition], deadline: float
    ) -> list[tuple[ListingPosition, SessionSummary]]:
        """Return the live sessions at `positions`, and remove the entries that have none."""
        if not positions:
            return []
        owners = [RecordOwner(tenant, position.session_id.decode()) for position in positions]
        keys = [self._keys.session(tenant, owner.session_id) for owner in owners]
        commands = [read_command("GETRANGE", key, 0, HEAD_BYTES - 1) for key in keys]
        results = await self._executor.run(commands, deadline)
        live: list[tuple[ListingPosition, SessionSummary]] = []
        expired: list[ListingPosition] = []
        ended: list[ListingPosition] = []
        for position, owner, result in zip(positions, owners, results, strict=True):
            try:
                head = _head(result, owner)
            except StateCorrupted:
                continue  # kept for inspection
            if head is None or head.created_at != position.created_at:
                expired.append(position)
            elif isinstance(head, Tombstone):
                ended.append(position)
            else:
                live.append((position, head))
        self._report_expired(await self._remove(tenant, expired, deadline))
        await self._remove(tenant, ended, deadline)
        return live

    async def _remove(self, tenant: str, positions: Sequence[ListingPosition], deadline: float) -> int:
        """Remove entries, in either form; return how many sessions had one."""
        if not positions:
            return 0
        members = {member for position in positions for member in (position.member, position.text_member)}
        command = script_command(self._remove_script, self._keys.index_scripts(tenant), *members)
        removed = cast("int", (await self._executor.values([command], deadline))[0])
        return min(removed, len(positions))

    def _report_expired(self, count: int) -> None:
        if count:
            self._observer.session_ended("expired", count)

    def _deadline(self) -> float:
        return _now() + self._timeout


@dataclass(slots=True)
class _Scan:
    """Progress of one listing: the sessions found so far, and the last position read."""

    limit: int
    after: ListingPosition | None
    sessions: list[tuple[ListingPosition, SessionSummary]] = field(default_factory=list)
    scanned: int = 0
    exhausted: bool = False

    @property
    def wants_more(self) -> bool:
        return len(self.sessions) <= self.limit and self.scanned < _MAX_SCANNED

    def add(
        self,
        positions: Sequence[ListingPosition],
        sessions: Sequence[tuple[ListingPosition, SessionSummary]],
        requested: int,
    ) -> None:
        self.sessions += sessions
        self.scanned += len(positions)
        self.exhausted = len(positions) < requested
        if positions:
            self.after = positions[-1]

    def page(self) -> SessionPage:
        sessions, after, exhausted = self.sessions, self.after, self.exhausted
        if len(sessions) > self.limit:
            sessions, exhausted = sessions[: self.limit], False
            after = sessions[-1][0]
        cursor = None if exhausted or after is None else after.cursor()
        return SessionPage([(position.session_id.decode(), head) for position, head in sessions], cursor)


def _now() -> float:
    return asyncio.get_running_loop().time()


def _head(result: CommandResult, owner: RecordOwner) -> SessionSummary | Tombstone | None:
    stored = result.value()
    return decode_head(stored, owner) if isinstance(stored, bytes) and stored else None
