"""The port `Fleet`: what the workers tell each other of the model versions they serve, and who still needs one.

Two hashes: what each worker serves, as of its last look, and the marks of retiring versions. Both are small.
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
from service.store.keys import Keys
from service.store.record.codec import HEAD_BYTES, RecordOwner, decode_head

_PAGE = 100  # entries of the index per round trip


class RedisWorkerRegistry:
    """What the workers know together, under `prefix` in the servers of `topology`.

    A worker that said nothing for `fresh` seconds counts no more. Every round trip ends within `timeout` seconds. A
    search rests after so many `pages` of a hundred sessions. Raises StoreUnavailable and StoreFull.
    """

    def __init__(self, topology: Topology, *, prefix: str, timeout: float, fresh: float, pages: int = 50) -> None:
        self.worker = secrets.token_hex(8)
        self._keys = Keys(prefix)
        self._timeout = timeout
        self._fresh = fresh
        self._pages = pages
        self._lane = CommandExecutor(topology, partial(make_level, "memory"))
        self._heartbeat = Script.read("heartbeat")

    async def heartbeat(self, served: Sequence[ServedVersion]) -> ClusterView:
        """Say what this worker serves, hear what all do."""
        notice = json.dumps([[*_fields(one.edition), one.open, one.touched] for one in served])
        return await self._exchange(notice)

    async def view(self) -> ClusterView:
        """Return what all workers serve, without publishing this worker's versions."""
        return await self._exchange("")

    async def _exchange(self, notice: str) -> ClusterView:
        command = script_command(self._heartbeat, self._keys.fleet, self.worker, notice, int(self._fresh * 1000))
        now, marks, workers = cast("tuple[int, list[bytes], list[bytes]]", await self._one(command))
        return ClusterView(
            now,
            {_edition(name): _mark(value) for name, value in _pairs(marks)},
            {name.decode(): _served(value.partition(b" ")[2]) for name, value in _pairs(workers)},
        )

    async def deregister(self) -> None:
        """Serve nothing any more."""
        await self._one(write_command("HDEL", self._keys.fleet[0], self.worker))

    async def mark_retiring(self, edition: VersionKey, mark: RetirementMark) -> None:
        """Mark an edition as retiring; where it is marked, only `drained` changes the mark."""
        value = json.dumps([mark.since, mark.reason, mark.signature, mark.drained])
        await self._one(write_command("HSET" if mark.drained else "HSETNX", self._keys.fleet[1], _name(edition), value))

    async def unmark_retiring(self, edition: VersionKey) -> None:
        """Forget that an edition is retiring."""
        await self._one(write_command("HDEL", self._keys.fleet[1], _name(edition)))

    async def find_live_session(self, edition: VersionKey, start: IndexPosition | None) -> IndexPosition | None:
        """The first live session on the edition at `start` or behind it, by the index; None: there is none.

        Where the search rests, the place is one to go on from. New sessions enter behind all others of their tenant.
        """
        tenants = sorted(cast("list[bytes]", await self._one(read_command("SMEMBERS", self._keys.tenants))))
        pages = self._pages
        for tenant in [raw.decode() for raw in tenants]:
            at = start if start is not None and start.tenant == tenant else IndexPosition(tenant, 0, "")
            if start is not None and at < start:
                continue
            more = True
            while more:
                if not pages:
                    return at
                pages -= 1
                places, more = await self._places(at)
                found = await self._live(edition, places)
                if found is not None:
                    return found
                at = places[-1] if places else at
        return None

    async def _places(self, start: IndexPosition) -> tuple[list[IndexPosition], bool]:
        """Entries of a tenant from `start` on, `start` among them, and whether there are more."""
        created, _ = self._keys.index(start.tenant)
        first = b"[" + ListingPosition(start.created_at, start.session_id.encode()).member
        command = read_command("ZRANGEBYLEX", created, first, "+", "LIMIT", 0, _PAGE)
        found = [ListingPosition.of(member) for member in cast("list[bytes]", await self._one(command))]
        places = [IndexPosition(start.tenant, one.created_at, one.session_id.decode()) for one in found]
        return places, len(places) == _PAGE

    async def _live(self, edition: VersionKey, places: Sequence[IndexPosition]) -> IndexPosition | None:
        keys = [self._keys.session(place.tenant, place.session_id) for place in places]
        heads = await self._run([read_command("GETRANGE", key, 0, HEAD_BYTES - 1) for key in keys])
        for place, head in zip(places, heads, strict=True):
            facts = _readable(head, RecordOwner(place.tenant, place.session_id))
            if facts is not None and VersionKey(facts.model, facts.version, facts.fingerprint) == edition:
                return place
        return None

    async def _one(self, command: Command) -> Reply:
        return (await self._run([command]))[0]

    async def _run(self, commands: Sequence[Command]) -> list[Reply]:
        deadline = asyncio.get_running_loop().time() + self._timeout
        return await self._lane.values(commands, deadline)


def _pairs(flat: Sequence[bytes]) -> list[tuple[bytes, bytes]]:
    return list(zip(flat[::2], flat[1::2], strict=True))


def _fields(edition: VersionKey) -> list[str]:
    return [edition.model, edition.version, edition.fingerprint]


def _name(edition: VersionKey) -> str:
    return json.dumps(_fields(edition))


def _edition(name: bytes) -> VersionKey:
    return VersionKey(*json.loads(name))


def _mark(value: bytes) -> RetirementMark:
    return RetirementMark(*json.loads(value))


def _served(notice: bytes) -> tuple[ServedVersion, ...]:
    rows: list[list[Any]] = json.loads(notice)
    return tuple(ServedVersion(VersionKey(*row[:3]), *row[3:]) for row in rows)


def _readable(head: Reply, owner: RecordOwner) -> SessionSummary | None:
    try:
        facts = decode_head(head, owner) if isinstance(head, bytes) else None
    except StateCorrupted:
        return None
    return facts if isinstance(facts, SessionSummary) else None
