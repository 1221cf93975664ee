"""The port `StateStore` on a server that speaks the Redis protocol."""

import asyncio
import contextlib
import secrets
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar, get_args

from service.domain.errors import (
    DurabilityNotReached,
    InternalError,
    SessionEnded,
    StateCorrupted,
    StoreUnavailable,
    Unavailable,
    UnrollError,
    WriteConflict,
)
from service.domain.sessions import Durability, Record, SessionPage
from service.store.driver.commands import (
    Command,
    CommandResult,
    Reply,
    Script,
    read_command,
    script_command,
    write_command,
)
from service.store.driver.durability import make_level
from service.store.driver.errors import ReplyLost, translate
from service.store.driver.executor import CommandExecutor
from service.store.driver.group_commit import ShardedGroupCommit
from service.store.driver.topology import Topology
from service.store.index.index import SessionIndex, lifetime
from service.store.keys import Keys
from service.store.observer import StoreObserver
from service.store.record.cache import COMPARED_BYTES, RecordCache
from service.store.record.codec import (
    HEADER_BYTES,
    TOMBSTONE_MAGIC,
    RecordOwner,
    Tombstone,
    decode,
    encode,
    encode_tombstone,
)

_T = TypeVar("_T")
_TOMBSTONE_MS = 24 * 60 * 60 * 1000
_SECRET_BYTES = 32
# WAITAOF can take a second; batches behind it must not wait for each other. Each takes a connection.
_WAITING_FLIGHTS = 8


def _milliseconds() -> int:
    return time.time_ns() // 1_000_000


class RedisStore:
    """Records, index and secret under `prefix` in the servers of `topology`.

    Every call ends within `timeout` seconds, but for `active`, each of whose round trips does. `index_limit` bounds a
    tenant's listing, `recent_bytes` the records that are held ready. `now` gives milliseconds since 1970 and dates
    tombstones; expiry follows the store's clock. Raises SettingsError for a prefix with braces.
    """

    def __init__(
        self,
        topology: Topology,
        observer: StoreObserver,
        *,
        prefix: str = "unroll",
        timeout: float = 2.0,
        index_limit: int = 1_000_000,
        recent_bytes: int = 32 * 2**20,
        now: Callable[[], int] = _milliseconds,
    ) -> None:
        self._observer = observer
        self._timeout = timeout
        self._now = now
        self._keys = Keys(prefix)
        self._secret: bytes | None = None
        self._recent = RecordCache(recent_bytes)
        self._operations: set[asyncio.Task[Any]] = set()
        scripts = (Script.read(name) for name in ("create", "write", "end", "confirm"))
        self._create, self._write, self._end, self._confirm = scripts
        # A lane per level: a session that wants no more than memory never waits for another one's disk.
        self._lanes = {
            level: ShardedGroupCommit(
                CommandExecutor(topology, partial(make_level, level)).run,
                topology.shard_of,
                max_in_flight=1 if level == "memory" else _WAITING_FLIGHTS,
            )
            for level in get_args(Durability)
        }
        # Not through a coalescer: listings are large, and steps do not wait for them.
        self._aside = CommandExecutor(topology, partial(make_level, "memory"))
        together = self._lanes["memory"]
        self._index = SessionIndex(self._aside, together, self._keys, observer, timeout=timeout, limit=index_limit)

    async def secret(self) -> bytes:
        """32 random bytes, made by the first worker that asks. Raises StoreUnavailable and StoreFull."""
        return await self.share_secret() if self._secret is None else self._secret

    async def share_secret(self) -> bytes:
        """Put the known secret into a store that has none, or take the one that it has. Raises as `secret`."""
        self._secret = await self._observed("secret", self._agree_on_secret(self._secret))
        return self._secret

    async def read(self, tenant: str, session_id: str) -> Record | None:
        """The record, or None. Raises SessionEnded, StateCorrupted and StoreUnavailable."""
        return await self._observed("read", self._read_record(tenant, session_id))

    def cached(self, tenant: str, session_id: str) -> Record | None:
        """The record as it was last seen, of a session that stays with this worker; None where it must be read."""
        record = self._recent.staying(self._keys.session(tenant, session_id))
        if record is not None:
            self._observer.session_cache("hit")
        return record

    async def create(self, tenant: str, session_id: str, record: Record) -> Record:
        """Store a first record, or return the one that is there.

        Raises SessionEnded, StateCorrupted, StoreFull, StoreUnavailable and DurabilityNotReached.
        """
        return await self._to_its_end(self._observed("create", self._create_record(tenant, session_id, record)))

    async def write(self, tenant: str, session_id: str, record: Record) -> Record:
        """Replace the record whose token this one carries; returns it with its new token.

        Raises WriteConflict, StoreFull, StoreUnavailable and DurabilityNotReached.
        """
        if not record.token:
            raise WriteConflict(f"session {session_id} was never stored")
        record, moved = _with_index_time(record)
        write_command = self._observed("write", self._write_record(tenant, session_id, record, moved))
        # A write goes on when its caller is cancelled. An index entry behind it takes a task of its own.
        return await (self._to_its_end(write_command) if moved else write_command)

    async def confirm(self, tenant: str, session_id: str, record: Record) -> None:
        """Wait until the record, which was read, is as durable as it demands.

        Raises WriteConflict where another one is stored by now, DurabilityNotReached, StoreUnavailable.
        """
        if record.durability != "memory":
            await self._observed("confirm", self._confirm_record(tenant, session_id, record))

    async def end(self, tenant: str, session_id: str) -> bool:
        """Leave a tombstone for 24 hours; False where there is no record.

        Raises SessionEnded, StoreUnavailable, DurabilityNotReached, and StateCorrupted: that record stays as it is.
        """
        return await self._to_its_end(self._observed("end", self._end_session(tenant, session_id)))

    async def list(self, tenant: str, model: str | None, limit: int, cursor: str | None) -> SessionPage:
        """Live sessions, newest first; a page short of `limit` can have a cursor. Raises InvalidRequest."""
        return await self._observed("list", self._index.page(tenant, model, limit, cursor))

    async def active(self) -> int:
        """Live sessions of all tenants, by the index; expired entries are dropped. Raises StoreUnavailable."""
        return await self._to_its_end(self._observed("active", self._index.active()))

    async def ping(self) -> None:
        """Return when the store answers. Raises StoreUnavailable."""
        await self._observed("ping", self._aside_one(read_command("PING"), self._deadline()))

    async def aclose(self) -> None:
        """Return when no call is under way any more; the topology stays open, it is its maker's."""
        while self._operations:
            await asyncio.wait(self._operations)
        for lane in self._lanes.values():
            await lane.drain()

    async def _agree_on_secret(self, known: bytes | None) -> bytes:
        deadline = self._deadline()
        read = read_command("GET", self._keys.secret)
        stored = await self._aside_one(read, deadline)
        if stored is None:
            # On disk if it can be: after a crash a new secret would make all ids foreign.
            proposal = write_command("SET", self._keys.secret, known or secrets.token_bytes(_SECRET_BYTES), "NX")
            (await self._lanes["fsynced"].submit(proposal, deadline)).value()
            stored = await self._aside_one(read, deadline)
        if not isinstance(stored, bytes) or len(stored) != _SECRET_BYTES:
            raise InternalError(f"{self._keys.secret} in the store is no secret of {_SECRET_BYTES} bytes")
        return stored

    async def _read_record(self, tenant: str, session_id: str) -> Record | None:
        key = self._keys.session(tenant, session_id)
        get = read_command("GET", key)
        stored = (await self._lanes["memory"].submit(get, self._deadline())).value()
        if not isinstance(stored, bytes):
            return None
        known = self._recent.stored_as(key, stored)
        self._observer.session_cache("miss" if known is None else "hit")
        if known is None:
            known = _live(stored, RecordOwner(tenant, session_id))
            self._recent.put(key, stored, known)
        return known

    async def _create_record(self, tenant: str, session_id: str, record: Record) -> Record:
        deadline = self._deadline()
        record, _ = _with_index_time(record)
        data = encode(record, RecordOwner(tenant, session_id))
        command = script_command(
            self._create, [self._keys.session(tenant, session_id)], data, record.ttl_seconds * 1000
        )
        answer = await self._lanes[record.durability].submit(command, deadline)
        stored = answer.value()
        if isinstance(stored, bytes):
            return _live(stored, RecordOwner(tenant, session_id))
        await self._enter(tenant, session_id, record, deadline)
        _require_durable(record, answer)
        return replace(record, token=data)

    async def _write_record(self, tenant: str, session_id: str, record: Record, moved: bool) -> Record:
        deadline = self._deadline()
        expected = record.token if len(record.token) <= COMPARED_BYTES else record.token[:HEADER_BYTES]
        data = encode(record, RecordOwner(tenant, session_id))
        arguments = (expected, data, record.ttl_seconds * 1000, TOMBSTONE_MAGIC, HEADER_BYTES)
        key = self._keys.session(tenant, session_id)
        command = script_command(self._write, [key], *arguments)
        answer = await self._lanes[record.durability].submit(command, deadline)
        result = answer.value()
        if result != b"written":
            # Of a write sent twice, the first may have been applied and then overtaken.
            if answer.repeated:
                raise translate(ReplyLost("the reply to a write was lost", sent=True), writes=True)
            if self._recent.doubt(key):
                self._observer.session_cache("stale")
            raise WriteConflict(f"session {session_id}: {_text(result)}")
        written = replace(record, token=data)
        self._recent.put(key, data, written)
        if moved:
            await self._enter(tenant, session_id, record, deadline)
        _require_durable(record, answer)
        return written

    async def _confirm_record(self, tenant: str, session_id: str, record: Record) -> None:
        command = script_command(self._confirm, [self._keys.session(tenant, session_id)], record.token[:HEADER_BYTES])
        try:
            answer = await self._lanes[record.durability].submit(command, self._deadline())
            result = answer.value()
        except StoreUnavailable as error:
            # The write took effect before; only its durability is in doubt.
            raise error.with_applied("yes") from error.__cause__
        if result != b"confirmed":
            raise WriteConflict(f"session {session_id} is not the one to confirm any more")
        _require_durable(record, answer)

    async def _end_session(self, tenant: str, session_id: str) -> bool:
        record = await self._read_record(tenant, session_id)
        if record is None:
            return False
        deadline = self._deadline()
        grave = encode_tombstone(self._now(), record.created_at, RecordOwner(tenant, session_id))
        arguments = (grave, _TOMBSTONE_MS, TOMBSTONE_MAGIC)
        command = script_command(self._end, [self._keys.session(tenant, session_id)], *arguments)
        answer = await self._lanes[record.durability].submit(command, deadline)
        result = answer.value()
        if result == b"ended" and not answer.repeated:
            raise SessionEnded(f"session {session_id} was ended before")
        if result != b"missing":
            with self._convenience():
                await self._index.leave(tenant, session_id, record, deadline)
            _require_durable(record, answer)
        return result != b"missing"

    async def _enter(self, tenant: str, session_id: str, record: Record, deadline: float) -> None:
        with self._convenience():
            await self._index.enter(tenant, session_id, record, deadline)

    @contextlib.contextmanager
    def _convenience(self) -> Iterator[None]:
        """The record is written: what becomes of the index is counted and no more."""
        try:
            yield
        except (Unavailable, StateCorrupted) as error:
            self._observer.store_error(error.code)

    async def _aside_one(self, command: Command, deadline: float) -> Reply:
        (answer,) = await self._aside.run([command], deadline)
        return answer.value()

    async def _observed(self, operation: str, work: Coroutine[Any, Any, _T]) -> _T:
        started = time.monotonic()
        up: bool | None = True
        try:
            return await work
        except asyncio.CancelledError:
            up = None  # nobody waited for the answer: that tells nothing of the store
            raise
        except (Unavailable, StateCorrupted) as error:
            up = not isinstance(error, StoreUnavailable)
            self._observer.store_error(error.code)
            raise
        finally:
            if up is not None:
                self._observer.store_call(operation, time.monotonic() - started)
                self._observer.store_up(up)

    async def _to_its_end(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Run `work` in a task that outlives a cancelled caller: what follows a write, follows it."""
        task = asyncio.get_running_loop().create_task(_settled(work))
        self._operations.add(task)
        task.add_done_callback(self._operations.discard)
        result = await asyncio.shield(task)
        if isinstance(result, UnrollError | WriteConflict):
            raise result
        return result

    def _deadline(self) -> float:
        return asyncio.get_running_loop().time() + self._timeout


async def _settled(work: Coroutine[Any, Any, _T]) -> _T | UnrollError | WriteConflict:
    """The result, or the refusal: one whose caller is gone is nobody's, and no error of this service."""
    try:
        return await work
    except (UnrollError, WriteConflict) as refusal:
        return refusal


def _live(stored: bytes, owner: RecordOwner) -> Record:
    decoded = decode(stored, owner)
    if isinstance(decoded, Tombstone):
        ended = datetime.fromtimestamp(decoded.ended_at / 1000, UTC).isoformat(timespec="seconds")
        raise SessionEnded(f"the session was ended by its client at {ended}")
    return decoded


def _with_index_time(record: Record) -> tuple[Record, bool]:
    """The record with the time that its index entry holds until, and whether the entry must be written."""
    bound = record.expires_at - record.ttl_seconds * 1000 + lifetime(record.ttl_seconds)
    shortened = bound < record.indexed_until
    if record.expires_at > record.indexed_until or shortened:
        return replace(record, indexed_until=bound), True
    return record, False


def _require_durable(record: Record, answer: CommandResult) -> None:
    if answer.missed:
        raise DurabilityNotReached(
            f"durability {record.durability} is not reached: {answer.missed}", applied="yes", step=record.step
        )


def _text(result: Reply) -> str:
    return result.decode() if isinstance(result, bytes) else repr(result)
