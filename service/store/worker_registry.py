"""The application's port `WorkerRegistry`: the model versions that each worker serves, shared through the store.

Two small hashes hold, by worker, the versions of its last heartbeat and, by version, the marks of retiring versions. A
set holds the names of unloaded models.
"""

import asyncio
import json
import secrets
from collections.abc import Sequence
from functools import partial
from typing import Any, cast

from service.domain.errors import StateCorrupted
from service.domain.models import ClusterView, RetirementMark, ServedVersion, VersionKey
from service.domain.sessions import IndexPosition, SessionSummary
from service.store.driver.commands import Command, Reply, Script, read_command, script_command, write_command
from service.store.driver.durability import make_level
from service.store.driver.executor import CommandExecutor
from service.store.driver.topology import Topology
from service.store.index.cursor import ListingPosition
from service.store.index.ranges import merge, read_newer
from service.store.keys import Keys
from service.store.record.codec import HEAD_BYTES, decode_head
from service.store.record.owner import RecordOwner

_PAGE_SIZE = 100  # entries of the index per round trip


class RedisWorkerRegistry:
    """Registry of workers under `prefix` in the servers of `topology`.

    A worker without a heartbeat for `fresh` seconds is dropped. Every round trip ends within `timeout` seconds. A scan
    for live sessions stops after `pages` pages of a hundred sessions. Raises StoreUnavailable and StoreFull.
    """

    def __init__(self, topology: Topology, *, prefix: str, timeout: float, fresh: float, pages: int = 50) -> None:
        self.worker = secrets.token_hex(8)
        self._keys = Keys(prefix)
        self._workers_key, self._retiring_key, self._unloaded_key = self._keys.worker_registry
        self._timeout = timeout
        self._fresh = fresh
        self._pages = pages
        self._executor = CommandExecutor(topology, partial(make_level, "memory"))
        self._heartbeat_script = Script.read("heartbeat")

    async def heartbeat(self, served: Sequence[ServedVersion]) -> ClusterView:
        """Publish this worker's versions; return everyone's."""
        notice = json.dumps(
            [[*_fields(version.version_key), version.accepts_sessions, version.recently_used] for version in served]
        )
        return await self._exchange(notice)

    async def view(self) -> ClusterView:
        """Return what all workers serve, without publishing this worker's versions."""
        return await self._exchange("")

    async def _exchange(self, notice: str) -> ClusterView:
        arguments = (self.worker, notice, int(self._fresh * 1000))
        command = script_command(self._heartbeat_script, self._keys.worker_registry, *arguments)
        reply = cast("tuple[int, list[bytes], list[bytes], list[bytes]]", await self._value(command))
        now, marks, workers, unloaded = reply
        return ClusterView(
            now,
            {_decode_version(field): _decode_mark(value) for field, value in _pairs(marks)},
            {worker.decode(): _decode_served(value.partition(b" ")[2]) for worker, value in _pairs(workers)},
            frozenset(model.decode() for model in unloaded),
        )

    async def deregister(self) -> None:
        """Remove this worker's versions."""
        await self._value(write_command("HDEL", self._workers_key, self.worker))

    async def mark_retiring(self, version_key: VersionKey, mark: RetirementMark) -> None:
        """Mark a version as retiring. An existing mark is replaced only by one that is `drained`."""
        value = json.dumps([mark.since, mark.reason, mark.signature, mark.drained])
        name = "HSET" if mark.drained else "HSETNX"
        await self._value(write_command(name, self._retiring_key, _encode_version(version_key), value))

    async def unmark_retiring(self, version_key: VersionKey) -> None:
        """Remove the mark of a retiring version."""
        await self._value(write_command("HDEL", self._retiring_key, _encode_version(version_key)))

    async def mark_unloaded(self, model: str) -> None:
        """Mark a model as unloaded: no worker serves it until the mark is removed."""
        await self._value(write_command("SADD", self._unloaded_key, model))

    async def unmark_unloaded(self, model: str) -> None:
        """Remove the mark of an unloaded model."""
        await self._value(write_command("SREM", self._unloaded_key, model))

    async def find_live_session(self, version_key: VersionKey, start: IndexPosition | None) -> IndexPosition | None:
        """Return the index position of the first live session of a version at or after `start`, or None.

        A scan that stops early returns the position to continue from. New sessions are listed after all other sessions
        of their tenant.
        """
        pages = self._pages
        for first in await self._tenant_starts(start):
            position, more = first, True
            while more:
                if not pages:
                    return position
                pages -= 1
                page, more = await self._page(position)
                session = await self._first_of_version(version_key, page)
                if session is not None:
                    return session
                position = page[-1] if page else position
        return None

    async def _tenant_starts(self, start: IndexPosition | None) -> list[IndexPosition]:
        """Return the first position to scan of every tenant, from the tenant of `start` on."""
        tenants = cast("list[bytes]", await self._value(read_command("SMEMBERS", self._keys.tenants)))
        firsts = [IndexPosition(tenant.decode(), 0, "") for tenant in sorted(tenants)]
        if start is None:
            return firsts
        return [start if first.tenant == start.tenant else first for first in firsts if first.tenant >= start.tenant]

    async def _page(self, start: IndexPosition) -> tuple[list[IndexPosition], bool]:
        """Return a page of a tenant's index from `start` on, including it, and whether there are more."""
        created, _ = self._keys.index(start.tenant)
        first = ListingPosition(start.created_at, start.session_id.encode())
        replies = await self._executor.values(read_newer(created, first, _PAGE_SIZE), self._deadline())
        entries = merge(replies, _PAGE_SIZE, newest_first=False)
        page = [IndexPosition(start.tenant, entry.created_at, entry.session_id.decode()) for entry in entries]
        return page, len(page) == _PAGE_SIZE

    async def _first_of_version(self, version_key: VersionKey, page: Sequence[IndexPosition]) -> IndexPosition | None:
        keys = [self._keys.session(position.tenant, position.session_id) for position in page]
        commands = [read_command("GETRANGE", key, 0, HEAD_BYTES - 1) for key in keys]
        heads = await self._executor.values(commands, self._deadline())
        for position, head in zip(page, heads, strict=True):
            summary = _decode_summary(head, RecordOwner(position.tenant, position.session_id))
            if summary is not None and VersionKey(summary.model, summary.version, summary.fingerprint) == version_key:
                return position
        return None

    async def _value(self, command: Command) -> Reply:
        (value,) = await self._executor.values([command], self._deadline())
        return value

    def _deadline(self) -> float:
        return asyncio.get_running_loop().time() + self._timeout


def _pairs(flat: Sequence[bytes]) -> list[tuple[bytes, bytes]]:
    return list(zip(flat[::2], flat[1::2], strict=True))


def _fields(version_key: VersionKey) -> list[str]:
    return [version_key.model, version_key.version, version_key.fingerprint]


def _encode_version(version_key: VersionKey) -> str:
    return json.dumps(_fields(version_key))


def _decode_version(field: bytes) -> VersionKey:
    return VersionKey(*json.loads(field))


def _decode_mark(value: bytes) -> RetirementMark:
    return RetirementMark(*json.loads(value))


def _decode_served(notice: bytes) -> tuple[ServedVersion, ...]:
    rows: list[list[Any]] = json.loads(notice)
    return tuple(ServedVersion(VersionKey(*row[:3]), *row[3:]) for row in rows)


def _decode_summary(head: Reply, owner: RecordOwner) -> SessionSummary | None:
    """Return a live session's summary, or None for any other value of its key."""
    try:
        decoded = decode_head(head, owner) if isinstance(head, bytes) else None
    except StateCorrupted:
        return None
    return decoded if isinstance(decoded, SessionSummary) else None
