"""Reads and writes of session records: compare-and-set scripts, the record cache, and the index behind them."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, TypeAlias, TypeVar

from service.domain.errors import (
    DurabilityNotReached,
    SessionEnded,
    StateCorrupted,
    StoreUnavailable,
    Unavailable,
    UnrollError,
    WriteConflict,
)
from service.domain.sessions import Durability, Record, SessionKey
from service.store.driver.commands import (
    Command,
    CommandResult,
    Reply,
    Script,
    read_command,
    script_command,
    write_command,
)
from service.store.driver.errors import ReplyLost, translate
from service.store.driver.group_commit import ShardedGroupCommit
from service.store.index.index import SessionIndex, extend_indexed_until
from service.store.index.reservations import reserved_bytes
from service.store.keys import Keys
from service.store.observer import StoreObserver
from service.store.record.cache import MAX_COMPARED_BYTES, RecordCache
from service.store.record.codec import (
    HEADER_BYTES,
    TOMBSTONE_MAGIC,
    Tombstone,
    decode,
    encode,
    encode_tombstone,
)
from service.store.record.owner import RecordOwner

T = TypeVar("T")
ReadResult: TypeAlias = "Record | WriteConflict | UnrollError | None"
WriteResult: TypeAlias = "Record | WriteConflict | UnrollError"

_TOMBSTONE_MS = 24 * 60 * 60 * 1000
# While the server uses more than 80 % of its memory.
_SHORT_TOMBSTONE_MS = 60 * 1000


class SessionRecords:
    """The records of all sessions, each written at the durability level that it names.

    Every operation ends within `timeout` seconds. `now` returns milliseconds since 1970 and dates tombstones.
    """

    def __init__(
        self,
        keys: Keys,
        cache: RecordCache,
        group_commits: Mapping[Durability, ShardedGroupCommit],
        index: SessionIndex,
        observer: StoreObserver,
        *,
        timeout: float,
        now: Callable[[], int],
    ) -> None:
        self._keys = keys
        self._cache = cache
        self._group_commits = group_commits
        self._index = index
        self._observer = observer
        self._timeout = timeout
        self._now = now
        self._create_script, self._write_script, self._confirm_script = map(Script.read, ("create", "write", "confirm"))
        self._end_script = Script.read("end", "memory")

    def cached(self, tenant: str, session_id: str) -> Record | None:
        """Return the record to continue from without a read, or None if it must be read."""
        record = self._cache.get_trusted(self._keys.session(tenant, session_id))
        if record is not None:
            self._observer.session_cache("hit")
        return record

    def shard_of(self, session: SessionKey) -> str:
        """Return the shard of a session's record. Several records are read and written by the shard."""
        return self._group_commits["memory"].shard_of(self.key_of(session))

    def key_of(self, session: SessionKey) -> str:
        """Return the key of a session's record."""
        return self._keys.session(*session)

    async def read(self, session: SessionKey) -> Record | None:
        """Return the record, or None. Raises SessionEnded, StateCorrupted and StoreUnavailable."""
        return value_or_raise((await self.read_many([session]))[0])

    async def read_many(self, sessions: Sequence[SessionKey]) -> list[ReadResult]:
        """Return the result of each read; the sessions lie on one shard."""
        keys = [self._keys.session(*session) for session in sessions]
        try:
            commands = [read_command("GET", key) for key in keys]
            results = await self._group_commits["memory"].submit_all(commands, self._deadline())
        except Unavailable as error:
            return [error] * len(sessions)
        return [
            _capture(self._read_result, session, key, result)
            for session, key, result in zip(sessions, keys, results, strict=True)
        ]

    def _read_result(self, session: SessionKey, key: str, result: CommandResult) -> Record | None:
        stored = result.value()
        if not isinstance(stored, bytes):
            self._cache.remove(key)
            return None
        record = self._cache.get_if_stored_as(key, stored)
        self._observer.session_cache("miss" if record is None else "hit")
        if record is None:
            record = _decode_live(stored, RecordOwner(*session))
            self._cache.put(key, stored, record)
        return record

    async def create(self, tenant: str, session_id: str, record: Record) -> Record:
        """Store a first record, or return the existing one. Raises as `RedisStore.create`."""
        deadline = self._deadline()
        record, _ = extend_indexed_until(record)
        data = encode(record, RecordOwner(tenant, session_id))
        size = max(len(data), reserved_bytes(record))
        try:
            await self._index.reserve(tenant, session_id, record, size, deadline)
        except StoreUnavailable as error:
            raise error.with_applied("no") from error.__cause__
        try:
            stored = await self._create(tenant, session_id, record, data, deadline)
        except UnrollError as error:
            if error.applied == "no":
                await self._remove_from_index(tenant, session_id, record, deadline)
            raise
        if stored.created_at != record.created_at:
            await self._remove_from_index(tenant, session_id, record, deadline)
        return stored

    async def _create(self, tenant: str, session_id: str, record: Record, data: bytes, deadline: float) -> Record:
        key = self._keys.session(tenant, session_id)
        command = script_command(self._create_script, [key], data, record.ttl_seconds * 1000)
        result = await self._group_commits[record.durability].submit(command, deadline)
        existing = result.value()
        if isinstance(existing, bytes):
            return _decode_live(existing, RecordOwner(tenant, session_id))
        with self._best_effort():
            await self._index.add_reserved(tenant, session_id, record, deadline)
        _require_durable(record, result)
        record.token = data
        return record

    async def discard(self, session: SessionKey, record: Record) -> bool:
        """Remove a record of which nobody knows the session id, without a tombstone. An error is reported."""
        removed, deadline = False, self._deadline()
        with self._best_effort():
            command = write_command("DEL", self.key_of(session))
            (await self._group_commits["memory"].submit(command, deadline)).value()
            removed = True
            await self._index.remove(*session, record, deadline)
        return removed

    async def begin(self, session: SessionKey, record: Record, replaced: Record | None) -> Record:
        """Store a first record in place of `replaced`, or of no record or a tombstone. Raises as `RedisStore.begin`."""
        deadline = self._deadline()
        record, _ = extend_indexed_until(replace(record, token=b"" if replaced is None else replaced.token))
        data = encode(record, RecordOwner(*session))
        try:
            await self._index.reserve(*session, record, max(len(data), reserved_bytes(record)), deadline)
        except StoreUnavailable as error:
            raise error.with_applied("no") from error.__cause__
        (result,) = await self._write_all([(session, record)], [data])
        if was_written(result):
            with self._best_effort():
                await self._index.add_reserved(*session, record, deadline)
            if replaced is not None and replaced.created_at != record.created_at:
                await self._remove_from_index(*session, replaced, deadline)
        elif isinstance(result, WriteConflict) or (isinstance(result, UnrollError) and result.applied == "no"):
            await self._remove_from_index(*session, record, deadline)
        return value_or_raise(result)

    async def write_many(self, writes: Sequence[tuple[SessionKey, Record]]) -> list[WriteResult]:
        """Return the result of each write; the sessions lie on one shard and have one durability."""
        data = [encode(record, RecordOwner(*session)) for session, record in writes]
        for (_, record), encoded in zip(writes, data, strict=True):
            if len(encoded) > reserved_bytes(record):
                return await self._write_grown(writes, data)
        return await self._write_all(writes, data)

    async def _write_grown(
        self, writes: Sequence[tuple[SessionKey, Record]], data: Sequence[bytes]
    ) -> list[WriteResult]:
        """Write records, some of which are larger than what their sessions reserved when they were created."""
        deadline = self._deadline()
        results: dict[int, WriteResult] = {}
        for index, ((session, record), encoded) in enumerate(zip(writes, data, strict=True)):
            if len(encoded) > reserved_bytes(record):
                try:
                    await self._index.reserve_growth(*session, record, len(encoded), deadline)
                except UnrollError as error:
                    results[index] = error.with_applied("no")
        left = [index for index in range(len(writes)) if index not in results]
        if left:
            written = await self._write_all([writes[index] for index in left], [data[index] for index in left])
            results |= zip(left, written, strict=True)
        return [results[index] for index in range(len(writes))]

    async def _write_all(self, writes: Sequence[tuple[SessionKey, Record]], data: Sequence[bytes]) -> list[WriteResult]:
        keys = [self._keys.session(*session) for session, _ in writes]
        commands = [
            self._write_command(key, record, encoded)
            for key, (_, record), encoded in zip(keys, writes, data, strict=True)
        ]
        try:
            results = await self._group_commits[writes[0][1].durability].submit_all(commands, self._deadline())
        except Unavailable as error:
            return [error] * len(writes)
        return [
            _capture(self._write_result, key, record, encoded, result)
            for key, (_, record), encoded, result in zip(keys, writes, data, results, strict=True)
        ]

    def _write_command(self, key: str, record: Record, data: bytes) -> Command:
        expected = record.token if len(record.token) <= MAX_COMPARED_BYTES else record.token[:HEADER_BYTES]
        arguments = (expected, data, record.ttl_seconds * 1000, TOMBSTONE_MAGIC, HEADER_BYTES)
        return script_command(self._write_script, [key], *arguments)

    def _write_result(self, key: str, record: Record, data: bytes, result: CommandResult) -> Record:
        outcome = result.value()
        if outcome != b"written":
            # If the command was sent twice, the first write may have been applied and then replaced by another one.
            if result.repeated:
                raise translate(ReplyLost("the reply to a write was lost", sent=True), writes=True)
            if self._cache.mark_stale(key):
                self._observer.session_cache("stale")
            raise WriteConflict(f"{key}: {_text(outcome)}")
        record.token = data
        self._cache.put(key, data, record)
        _require_durable(record, result)
        return record

    async def extend_index(self, session: SessionKey, record: Record) -> None:
        """Write the index entry of a record whose entry would expire before it. Errors are reported, not raised."""
        with self._best_effort():
            await self._index.add(*session, record, self._deadline())

    async def confirm(self, tenant: str, session_id: str, record: Record) -> None:
        """Wait until a record that was read is durable. Raises as `RedisStore.confirm`."""
        key = self._keys.session(tenant, session_id)
        command = script_command(self._confirm_script, [key], record.token[:HEADER_BYTES])
        try:
            result = await self._group_commits[record.durability].submit(command, self._deadline())
            outcome = result.value()
        except StoreUnavailable as error:
            # The record was read, so its write took effect; only its durability is in doubt.
            raise error.with_applied("yes") from error.__cause__
        if outcome != b"confirmed":
            raise WriteConflict(f"session {session_id} is not the one to confirm any more")
        _require_durable(record, result)

    async def end(self, tenant: str, session_id: str) -> bool:
        """Replace the record by a tombstone; return False if there is none. Raises as `RedisStore.end`."""
        record = await self.read((tenant, session_id))
        if record is None:
            return False
        deadline = self._deadline()
        tombstone = encode_tombstone(self._now(), record.created_at, RecordOwner(tenant, session_id))
        key = self._keys.session(tenant, session_id)
        arguments = (tombstone, _TOMBSTONE_MS, TOMBSTONE_MAGIC, _SHORT_TOMBSTONE_MS)
        command = script_command(self._end_script, [key], *arguments)
        result = await self._group_commits[record.durability].submit(command, deadline)
        outcome = result.value()
        self._cache.remove(key)
        if outcome == b"ended" and not result.repeated:
            raise SessionEnded(f"session {session_id} was ended before")
        if outcome == b"missing":
            return False
        await self._remove_from_index(tenant, session_id, record, deadline)
        _require_durable(record, result)
        return True

    async def _remove_from_index(self, tenant: str, session_id: str, record: Record, deadline: float) -> None:
        with self._best_effort():
            await self._index.remove(tenant, session_id, record, deadline)

    @contextlib.contextmanager
    def _best_effort(self) -> Iterator[None]:
        """Report an error of the index and continue: the record itself is written."""
        try:
            yield
        except (Unavailable, StateCorrupted) as error:
            self._observer.store_error(error.code)

    def _deadline(self) -> float:
        return asyncio.get_running_loop().time() + self._timeout


def _capture(function: Callable[..., T], *arguments: Any) -> T | WriteConflict | UnrollError:  # noqa: ANN401
    """Return what `function` returns, or the error of the store that it raises."""
    try:
        return function(*arguments)
    except (UnrollError, WriteConflict) as error:
        return error


def was_written(result: WriteResult) -> bool:
    """Return whether a record was replaced, be it as durable as it demands or not."""
    return isinstance(result, Record | DurabilityNotReached)


def value_or_raise(result: T | WriteConflict | UnrollError) -> T:
    """Return the value of a result. Raises the error that it is instead."""
    if isinstance(result, UnrollError | WriteConflict):
        raise result
    return result


def _decode_live(stored: bytes, owner: RecordOwner) -> Record:
    decoded = decode(stored, owner)
    if isinstance(decoded, Tombstone):
        ended = datetime.fromtimestamp(decoded.ended_at / 1000, UTC).isoformat(timespec="seconds")
        raise SessionEnded(f"the session was ended by its client at {ended}")
    return decoded


def _require_durable(record: Record, result: CommandResult) -> None:
    if result.failure_reason:
        raise DurabilityNotReached(
            f"durability {record.durability} is not reached: {result.failure_reason}", applied="yes", step=record.step
        )


def _text(reply: Reply) -> str:
    return reply.decode() if isinstance(reply, bytes) else repr(reply)
