"""Hand-written stand-ins for the application's ports, for tests of rules that need no network and no server."""

import asyncio
import itertools
import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import TypeVar

from service.application.ports import Deliver, Job, ReadResult, WriteResult
from service.domain.cost import Cost
from service.domain.errors import InvalidRequest, SessionEnded, UnrollError, WriteConflict
from service.domain.models import ModelVersion
from service.domain.operations import Generate, Operation, Outcome, Predict
from service.domain.sessions import Durability, Record, SessionKey, SessionPage, StoreUsage
from service.domain.tensor_interface import TensorInterface

T = TypeVar("T")


def model_version(name: str = "adder", version: str = "1", fingerprint: str = "ab" * 32) -> ModelVersion:
    """Describe a version of the fake engine's network."""
    return ModelVersion(
        name=name,
        version=version,
        task="next-word",
        architecture="language-model",
        cell="lstm",
        num_layers=1,
        hidden_size=1,
        parameters=0,
        state_bytes=8,
        fingerprint=fingerprint,
        dtype="float32",
        verified=True,
        created=0,
        load_seconds=0.0,
    )


@dataclass
class ManualClock:
    """Time that moves when told."""

    milliseconds: int = 1_000_000
    seconds: float = 100.0

    def now(self) -> int:
        return self.milliseconds

    def monotonic(self) -> float:
        return self.seconds


class DateClock(ManualClock):
    """Dates that move when told; durations are real."""

    def monotonic(self) -> float:
        return time.monotonic()


class AddingEngine:
    """A network of integers: state(n+1) = 31 * state(n) + id, over the ids fed. Exact, so order shows."""

    def __init__(self, *versions: ModelVersion) -> None:
        self.known = list(versions) or [model_version()]
        self.alive = True
        self.runs = 0
        self.has_start = True
        self.costs = Cost(1, 1, 1)
        self.before_answer: Callable[[], None] | None = None
        self.failure: UnrollError | None = None
        self.hold: asyncio.Event | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def versions(self) -> list[ModelVersion]:
        return self.known

    def has_initial_state(self, model: ModelVersion) -> bool:
        return self.has_start

    def initial_state(self, model: ModelVersion) -> bytes:
        return (0).to_bytes(8, "little")

    def healthy(self) -> bool:
        return self.alive

    def find(self, model: str, version: str) -> ModelVersion | None:
        return next((known for known in self.known if (known.name, known.version) == (model, version)), None)

    def tensors(self, model: ModelVersion) -> TensorInterface | None:
        return None

    def cost(self, model: ModelVersion, operation: Operation, *, in_session: bool) -> Cost:
        return self.costs

    def expecting(self) -> AbstractContextManager[None]:
        return nullcontext()

    def submit(
        self, model: ModelVersion, operation: Operation, state: bytes | None, job: Job, deliver: Deliver
    ) -> None:
        if self.failure is not None:
            raise self.failure
        task = asyncio.create_task(self._run_job(operation, state, job, deliver))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run_job(self, operation: Operation, state: bytes | None, job: Job, deliver: Deliver) -> None:
        try:
            result: Outcome | Exception = await self.compute_outcome(operation, state)
        except Exception as error:  # noqa: BLE001 - the engine, too, delivers whatever it is
            result = error
        if not job.abandoned():
            deliver([(job, result)])

    async def compute_outcome(self, operation: Operation, state: bytes | None) -> Outcome:
        self.runs += 1
        if self.hold is not None:
            await self.hold.wait()
        await asyncio.sleep(0)
        value = int.from_bytes(state or b"", "little")
        ids = operation.input.ids or () if operation.input is not None else ()
        for index in ids:
            value = (31 * value + index) % 2**61
        if self.before_answer is not None:
            self.before_answer()
        generated = operation.options.max_tokens if isinstance(operation, Generate) else 0
        assert isinstance(operation, Predict | Generate)
        return Outcome({"value": value}, value.to_bytes(8, "little"), len(ids) + generated, generated)


@dataclass(frozen=True)
class NumberFile:
    """A file of a number under JSON metadata."""

    metadata: dict[str, str]
    value: int

    def state(self, model: ModelVersion) -> bytes:
        if self.value < 0:
            raise InvalidRequest(f"tensors.value is {self.value}: expected 0 or more", param="tensors.value")
        return self.value.to_bytes(8, "little")


class NumberFiles:
    """Files of the adding engine's states, in JSON."""

    def write(self, model: ModelVersion, state: bytes, metadata: Mapping[str, str]) -> bytes:
        return json.dumps([dict(metadata), int.from_bytes(state, "little")]).encode()

    def read(self, content: bytes) -> NumberFile:
        try:
            return NumberFile(*json.loads(content))
        except ValueError as error:
            raise InvalidRequest("the body is no state of a session", param="body") from error


@dataclass
class MemoryStore:
    """Records in a dictionary, with the same compare-and-set as the real store."""

    records: dict[tuple[str, str], Record | None] = field(default_factory=dict)
    failure: UnrollError | None = None
    slow: asyncio.Event | None = None
    held: dict[tuple[str, str], Record] = field(default_factory=dict)
    confirmed: list[Durability] = field(default_factory=list)
    _tokens: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    async def secret(self) -> bytes:
        return b"s" * 32

    async def read(self, tenant: str, session_id: str) -> Record | None:
        self._maybe_fail()
        await asyncio.sleep(0)
        return self._live(tenant, session_id)

    def shard_of(self, session: SessionKey) -> str:
        return "memory"

    async def read_many(self, sessions: Sequence[SessionKey]) -> list[ReadResult]:
        reads = (self.read(*session) for session in sessions)
        return list(await asyncio.gather(*map(_result_of, reads)))

    async def write_many(self, writes: Sequence[tuple[SessionKey, Record]]) -> list[WriteResult]:
        written = (self.write(*session, record) for session, record in writes)
        return list(await asyncio.gather(*map(_result_of, written)))

    def cached(self, tenant: str, session_id: str) -> Record | None:
        return self.held.get((tenant, session_id))

    async def require_reachable(self, session: SessionKey, durability: Durability, *, repeatable: bool) -> None:
        self._maybe_fail()

    async def create(self, tenant: str, session_id: str, record: Record) -> Record:
        self._maybe_fail()
        there = self._live(tenant, session_id)
        return there if there is not None else self._put(tenant, session_id, record)

    async def discard(self, tenant: str, session_id: str, record: Record) -> bool:
        return self.records.pop((tenant, session_id), None) is not None

    async def begin(self, tenant: str, session_id: str, record: Record, replaced: Record | None) -> Record:
        self._maybe_fail()
        stored = self.records.get((tenant, session_id))
        if stored is not None and (replaced is None or stored.token != replaced.token):
            raise WriteConflict(session_id)
        return self._put(tenant, session_id, record)

    async def write(self, tenant: str, session_id: str, record: Record) -> Record:
        self._maybe_fail()
        await (asyncio.sleep(0) if self.slow is None else self.slow.wait())
        there = self.records.get((tenant, session_id))
        if there is None or there.token != record.token:
            raise WriteConflict
        return self._put(tenant, session_id, record)

    async def confirm(self, tenant: str, session_id: str, record: Record) -> None:
        there = self.records.get((tenant, session_id))
        if there is None or there.token != record.token:
            raise WriteConflict
        self.confirmed.append(record.durability)

    async def end(self, tenant: str, session_id: str) -> bool:
        if self._live(tenant, session_id) is None:
            return False
        self.records[tenant, session_id] = None
        return True

    async def list(self, tenant: str, models: frozenset[str] | None, limit: int, cursor: str | None) -> SessionPage:
        own = [(key[1], record) for key, record in self.records.items() if key[0] == tenant and record is not None]
        return SessionPage([(name, one) for name, one in own if models is None or one.model in models][:limit], None)

    async def tenants(self) -> Sequence[str]:
        return sorted({tenant for (tenant, _), record in self.records.items() if record is not None})

    async def usage(self, tenants: Sequence[str]) -> Sequence[StoreUsage]:
        sizes = {
            tenant: [len(one.state) for key, one in self.records.items() if key[0] == tenant and one is not None]
            for tenant in tenants
        }
        return [StoreUsage(len(sizes[tenant]), sum(sizes[tenant])) for tenant in tenants]

    async def active(self) -> int:
        return sum(record is not None for record in self.records.values())

    async def ping(self) -> None:
        self._maybe_fail()

    def _maybe_fail(self) -> None:
        if self.failure is not None:
            raise self.failure

    def _live(self, tenant: str, session_id: str) -> Record | None:
        key = (tenant, session_id)
        if key in self.records and self.records[key] is None:
            raise SessionEnded("ended")
        return self.records.get(key)

    def _put(self, tenant: str, session_id: str, record: Record) -> Record:
        stored = replace(record, token=str(next(self._tokens)).encode())
        self.records[tenant, session_id] = stored
        return stored


async def _result_of(work: Awaitable[T]) -> T | UnrollError | WriteConflict:
    """What `work` returns, or the error that it raises."""
    try:
        return await work
    except (UnrollError, WriteConflict) as error:
        return error


class CountingObserver:
    """Counts what it is told, by kind and label."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        self.counts[f"request {route} {status}"] += 1

    def in_flight(self, change: int) -> None:
        self.counts["in flight"] += change

    def shed(self, reason: str) -> None:
        self.counts[f"shed {reason}"] += 1

    def model_loaded(self, model: ModelVersion) -> None:
        self.counts[f"loaded {model.name}"] += 1

    def model_unloaded(self, model: ModelVersion) -> None:
        self.counts[f"unloaded {model.name}"] += 1

    def queue(self, depth: int) -> None:
        self.counts["queue"] = depth

    def batch(self, model: str, version: str, size: int, seconds: float) -> None:
        self.counts[f"batch {size}"] += 1

    def waited(self, model: str, version: str, seconds: float) -> None:
        self.counts["waited"] += 1

    def ran(self, model: ModelVersion, outcomes: Sequence[Outcome]) -> None:
        self.counts["timesteps"] += sum(outcome.timesteps for outcome in outcomes)

    def first_token(self, model: str, version: str, seconds: float) -> None:
        self.counts["first token"] += 1

    def step(self, outcome: str) -> None:
        self.counts[f"step {outcome}"] += 1

    def session_created(self, model: str) -> None:
        self.counts["created"] += 1

    def session_cache(self, outcome: str) -> None:
        self.counts[f"cache {outcome}"] += 1

    def session_ended(self, reason: str, count: int = 1) -> None:
        self.counts[f"ended {reason}"] += count

    def sessions_active(self, count: int) -> None:
        self.counts["active"] = count

    def store_call(self, operation: str, seconds: float) -> None:
        self.counts[f"store {operation}"] += 1

    def store_error(self, code: str) -> None:
        self.counts[f"store error {code}"] += 1

    def store_memory(self, used: int, limit: int) -> None:
        pass

    def store_persistence(self, append_only: bool, replicas: int) -> None:
        pass

    def store_up(self, up: bool) -> None:
        self.counts["store up"] = int(up)
