"""Ports of the application: protocols of the parts that its use cases need. `service/bootstrap/` wires them."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeAlias

from service.domain.cost import Cost
from service.domain.errors import UnrollError, WriteConflict
from service.domain.inference_statistics import InferenceTimes
from service.domain.models import ClusterView, ModelVersion, RetirementMark, ServedVersion, VersionFolder, VersionKey
from service.domain.operations import GeneratedToken, Operation, Outcome
from service.domain.sessions import Durability, IndexPosition, Record, SessionKey, SessionPage, StoreUsage
from service.domain.tensor_interface import TensorInterface


class Clock(Protocol):
    """Source of the current time."""

    def now(self) -> int:
        """Return milliseconds since 1970."""

    def monotonic(self) -> float:
        """Return seconds of a clock that never goes back, for durations and deadlines."""


class Trace(Protocol):
    """Trace of an operation of a request, in phases that follow each other."""

    def begin(self, phase: str) -> None:
        """Begin a phase, and end the one before it."""

    def end(self) -> None:
        """End the last phase. May be repeated."""


class CallTrace(Protocol):
    """Trace of a call over gRPC, or of one message of its stream."""

    def operation(self) -> Trace | None:
        """Return the trace of its operation, or None if it is not sampled."""

    def message(self) -> "CallTrace":
        """Begin the trace of a message of the stream."""

    def end(self, status: int, code: str | None = None, tenant: str | None = None) -> None:
        """End it with a status of gRPC, the code of an error and the tenant. May be repeated."""


class TokenReceiver(Protocol):
    """Receives the tokens of a generation while it runs."""

    @property
    def started(self) -> float:
        """The time on the monotonic clock at which the tokens were requested."""

    @property
    def has_tokens(self) -> bool:
        """Whether any token has come yet."""

    def put(self, tokens: Sequence[GeneratedToken]) -> None:
        """Receive the next tokens. All together are those of the outcome; the last ones come before it."""


class Job(Protocol):
    """What the engine sees of whoever waits for an operation."""

    @property
    def receiver(self) -> TokenReceiver | None:
        """Whatever receives the tokens of a generation as they come, None for most jobs."""

    @property
    def trace(self) -> Trace | None:
        """The trace that the operation belongs to, None for most jobs."""

    @property
    def client(self) -> str:
        """Whoever the operation runs for; clients are served fairly."""

    @property
    def deadline(self) -> float | None:
        """The time on the monotonic clock after which the operation has failed, None for no limit."""

    def abandoned(self) -> bool:
        """Return True if nobody waits for the outcome any more: the operation is dropped, and not delivered."""


#: Receives the operations of one forward pass that have ended: the job of each, and its outcome or its failure.
Deliver: TypeAlias = "Callable[[Sequence[tuple[Any, Outcome | Exception]]], None]"


class Engine(Protocol):
    """Engine that runs operations on the loaded model versions."""

    def versions(self) -> list[ModelVersion]:
        """Return all loaded versions. Those of one model are adjacent, the newest last."""

    def has_initial_state(self, model: ModelVersion) -> bool:
        """Return whether state 0 of a session is the same for all; else it depends on the session's input."""

    def initial_state(self, model: ModelVersion) -> bytes:
        """Return the encoded initial state of a session."""

    def find(self, model: str, version: str) -> ModelVersion | None:
        """Return a loaded version, or None."""

    def tensors(self, model: ModelVersion) -> TensorInterface | None:
        """Return the tensors of a version's task, None if it has none. Raises ModelNotReady."""

    def cost(self, model: ModelVersion, operation: Operation, *, in_session: bool) -> Cost:
        """Return what an operation takes at most, from sizes alone. Raises ModelNotReady."""

    def submit(
        self, model: ModelVersion, operation: Operation, state: bytes | None, job: Job, deliver: Deliver
    ) -> None:
        """Queue `operation` from `state` (None: state 0); `deliver` receives `job` and the outcome.

        Raises InvalidRequest, StateCorrupted, ModelNotReady and Overloaded, and queues nothing then.
        """

    def expecting(self) -> AbstractContextManager[None]:
        """Announce operations, which are submitted in the block: the next forward pass waits for them a little."""

    def healthy(self) -> bool:
        """Return False once the engine has failed. It does not recover by itself."""


class ParsedStateFile(Protocol):
    """Parsed safetensors file, whose tensors are not yet compared with a model."""

    @property
    def metadata(self) -> Mapping[str, str]:
        """Metadata of the file's header."""

    def state(self, model: ModelVersion) -> bytes:
        """Return the state as a session of `model` stores it. Raises InvalidRequest for tensors that do not fit."""


class StateFiles(Protocol):
    """Converter between stored states and safetensors files."""

    def write(self, model: ModelVersion, state: bytes, metadata: Mapping[str, str]) -> bytes:
        """Return the file of a stored state. Raises StateCorrupted."""

    def read(self, content: bytes) -> ParsedStateFile:
        """Parse a file. Raises InvalidRequest for any other content."""


#: What became of one record of several: the record, and None where there is none; or the error of that one alone.
ReadResult: TypeAlias = "Record | WriteConflict | UnrollError | None"
WriteResult: TypeAlias = "Record | WriteConflict | UnrollError"


class StateStore(Protocol):
    """Store of session records. Raises StoreUnavailable, StoreFull and StateCorrupted."""

    async def secret(self) -> bytes:
        """Return 32 random bytes that all workers share. The first worker that asks generates them."""

    async def read(self, tenant: str, session_id: str) -> Record | None:
        """Return the record, or None if there is none. Raises SessionEnded for 24 hours after `end`."""

    def cached(self, tenant: str, session_id: str) -> Record | None:
        """Return the record that this worker read or wrote last, or None if it must be read.

        It may be outdated: `write` raises WriteConflict then.
        """

    def shard_of(self, session: SessionKey) -> str:
        """Return the name of the server of a session. Records of one server are read and written together."""

    async def read_many(self, sessions: Sequence[SessionKey]) -> list[ReadResult]:
        """Read the records of several sessions of one server; one result each, as `read` returns or raises it."""

    async def write_many(self, writes: Sequence[tuple[SessionKey, Record]]) -> list[WriteResult]:
        """Write several records of one server and durability; one result each, as `write` returns or raises it.

        What has begun is finished, whether anyone waits or not.
        """

    async def require_reachable(self, session: SessionKey, durability: Durability, *, repeatable: bool) -> None:
        """Raise DurabilityNotReached if a session cannot be created at a durability level now.

        A `repeatable` creation is refused only if no repetition is likely to reach the level either.
        """

    async def create(self, tenant: str, session_id: str, record: Record) -> Record:
        """Store a first record, or return the existing one. Raises SessionEnded."""

    async def discard(self, tenant: str, session_id: str, record: Record) -> bool:
        """Remove the first record of a session that no client knows; return whether it is removed."""

    async def begin(self, tenant: str, session_id: str, record: Record, replaced: Record | None) -> Record:
        """Store a first record under an id that may have been used before; return it with its token.

        It takes the place of `replaced`, or of no record or a tombstone if that is None. Raises WriteConflict if
        another record is stored by now, and DurabilityNotReached as `write` does.
        """

    async def write(self, tenant: str, session_id: str, record: Record) -> Record:
        """Replace the record whose `token` this one carries; return it with its new token.

        Raises WriteConflict if another record is stored by now, or none. Raises DurabilityNotReached if the record was
        written, but its durability level was not reached in time.
        """

    async def confirm(self, tenant: str, session_id: str, record: Record) -> None:
        """Wait until a record that was read has reached its durability level.

        Raises WriteConflict if another record is stored by now, and DurabilityNotReached.
        """

    async def end(self, tenant: str, session_id: str) -> bool:
        """Replace the record by a tombstone for 24 hours; return False if there is none. Raises SessionEnded."""

    async def list(self, tenant: str, models: frozenset[str] | None, limit: int, cursor: str | None) -> SessionPage:
        """Return live sessions of `tenant` on `models` (None: all), newest first.

        Raises InvalidRequest for any other cursor than its own.
        """

    async def tenants(self) -> Sequence[str]:
        """Return the tenants that may have live sessions, in the order of their names."""

    async def usage(self, tenants: Sequence[str]) -> Sequence[StoreUsage]:
        """Return what the live sessions of each tenant take."""

    async def active(self) -> int:
        """Return the number of live sessions of all tenants. Removes expired index entries and reports their number."""

    async def ping(self) -> None:
        """Return when the store replies and accepts writes."""


class ModelRepository(Protocol):
    """Repository of model versions, which loads them into the engine."""

    async def scan(self) -> list[VersionFolder]:
        """Return the version folders, the newest of each model first.

        Raises ModelFolderError if there is no folder of models.
        """

    async def list_folders(self) -> list[VersionFolder]:
        """Return the version folders on disk, none of them `settled`. Scans are not affected. Raises as `scan`."""

    async def load(
        self, folder: VersionFolder, announce: Callable[[VersionKey], Awaitable[None]] | None = None
    ) -> ModelVersion | None:
        """Load a version, await `announce`, and register it. Other versions serve meanwhile.

        Returns None if the version was refused, which is logged, or changed meanwhile.
        """

    def unload(self, version_key: VersionKey) -> None:
        """Unregister a version and free its memory."""


class WorkerRegistry(Protocol):
    """Registry of the versions that each worker serves, shared by all. Raises StoreUnavailable and StoreFull."""

    @property
    def worker(self) -> str:
        """Unique name of this worker."""

    async def heartbeat(self, served: Sequence[ServedVersion]) -> ClusterView:
        """Publish this worker's versions; return everyone's."""

    async def view(self) -> ClusterView:
        """Return everyone's versions without publishing this worker's."""

    async def deregister(self) -> None:
        """Remove this worker's versions."""

    async def mark_retiring(self, version_key: VersionKey, mark: RetirementMark) -> None:
        """Mark a version as retiring. An existing mark is replaced only by one that is `drained`."""

    async def unmark_retiring(self, version_key: VersionKey) -> None:
        """Remove the mark of a retiring version."""

    async def mark_unloaded(self, model: str) -> None:
        """Mark a model as unloaded: no worker serves it until the mark is removed."""

    async def unmark_unloaded(self, model: str) -> None:
        """Remove the mark of an unloaded model."""

    async def find_live_session(self, version_key: VersionKey, start: IndexPosition | None) -> IndexPosition | None:
        """Return the position of the first live session of a version at or after `start`, or None if there is none.

        A long scan stops early and returns the position to continue from. New sessions are listed after all other
        sessions of their tenant.
        """


class RequestObserver(Protocol):
    """Receiver of the events of requests."""

    def request(self, route: str, method: str, status: int, seconds: float) -> None: ...
    def in_flight(self, change: int) -> None: ...
    def websocket(self, change: int) -> None: ...
    def shed(self, reason: str) -> None: ...


class ModelObserver(Protocol):
    """Receiver of the events of model versions."""

    def model_loaded(self, model: ModelVersion) -> None: ...
    def model_unloaded(self, model: ModelVersion) -> None: ...


class SessionObserver(Protocol):
    """Receiver of the events of sessions and their steps."""

    def step(self, outcome: str) -> None: ...
    def session_created(self, model: str) -> None: ...
    def session_ended(self, reason: str, count: int = 1) -> None: ...
    def sessions_active(self, count: int) -> None: ...


class InferenceObserver(Protocol):
    """Receiver of the events of inferences on tensors."""

    def succeeded(self, model: ModelVersion, rows: int, times: InferenceTimes) -> None: ...
    def failed(self, model: ModelVersion, seconds: float) -> None: ...


class Observer(RequestObserver, ModelObserver, SessionObserver, Protocol):
    """Receiver of all events of the use cases; implemented by `service/telemetry`.

    The engine and the store declare the events that they report in protocols of their own.
    """
