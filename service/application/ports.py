"""What the use cases need of the outside, as protocols; `service/bootstrap.py` plugs the real parts in."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

from service.domain.models import ClusterView, ModelVersion, RetirementMark, ServedVersion, VersionFolder, VersionKey
from service.domain.operations import Operation, Outcome
from service.domain.sessions import IndexPosition, Record, SessionPage


class Clock(Protocol):
    """Time as the service sees it."""

    def now(self) -> int:
        """Milliseconds since 1970."""

    def monotonic(self) -> float:
        """Seconds that never run backwards, for durations and deadlines."""


class Engine(Protocol):
    """Runs operations on the loaded model versions."""

    def versions(self) -> list[ModelVersion]:
        """All loaded versions, those of one model next to each other, the newest last."""

    def initial_state(self, model: ModelVersion) -> bytes:
        """State 0 of a session."""

    async def run(
        self, model: ModelVersion, operation: Operation, state: bytes | None, deadline: float | None = None
    ) -> Outcome:
        """Run `operation` from `state` (None: state 0). Raises InvalidRequest before anything is queued."""

    def healthy(self) -> bool:
        """False once the engine has died; it does not recover by itself."""


class ParsedStateFile(Protocol):
    """A safetensors file that was read, its tensors not yet compared with a model."""

    @property
    def metadata(self) -> Mapping[str, str]:
        """What the file says of itself."""

    def state(self, model: ModelVersion) -> bytes:
        """The state as a session of `model` stores it. Raises InvalidRequest for tensors that do not fit."""


class StateFiles(Protocol):
    """Turns stored states into safetensors files, and back."""

    def write(self, model: ModelVersion, state: bytes, metadata: Mapping[str, str]) -> bytes:
        """The file of a stored state. Raises StateCorrupted."""

    def read(self, content: bytes) -> ParsedStateFile:
        """Read a file. Raises InvalidRequest that says what it is instead."""


class StateStore(Protocol):
    """Keeps the records of sessions. Raises StoreUnavailable, StoreFull and StateCorrupted."""

    async def secret(self) -> bytes:
        """32 random bytes that all workers of this store share, made by whoever asks first."""

    async def read(self, tenant: str, session_id: str) -> Record | None:
        """The record, or None where there is none. Raises SessionEnded for 24 hours after `end`."""

    def cached(self, tenant: str, session_id: str) -> Record | None:
        """The record as this worker last saw it; it may be out of date, which `write` finds out. None: read it."""

    async def create(self, tenant: str, session_id: str, record: Record) -> Record:
        """Store a first record; where one exists, return that one instead. Raises SessionEnded."""

    async def write(self, tenant: str, session_id: str, record: Record) -> Record:
        """Replace the record whose `token` this one carries; returns it with its new token.

        Raises WriteConflict when the stored record is another by now or is gone, DurabilityNotReached when it was
        written but not confirmed as its durability demands.
        """

    async def confirm(self, tenant: str, session_id: str, record: Record) -> None:
        """Wait until the record, which was read, is as durable as it demands.

        Raises WriteConflict where another one is stored by now, and DurabilityNotReached.
        """

    async def end(self, tenant: str, session_id: str) -> bool:
        """Replace the record by a tombstone for 24 hours; False where there is none. Raises SessionEnded."""

    async def list(self, tenant: str, model: str | None, limit: int, cursor: str | None) -> SessionPage:
        """Live sessions of `tenant`, newest first. Raises InvalidRequest for a cursor that it did not make."""

    async def active(self) -> int:
        """How many sessions of all tenants are live, by the expiry index; drops and counts expired entries."""

    async def ping(self) -> None:
        """Return when the store answers."""


class ModelRepository(Protocol):
    """The folders of model versions, and what of them is loaded into the engine."""

    async def scan(self) -> list[VersionFolder]:
        """The version folders, the newest of each model first. Raises ModelFolderError without a folder of models."""

    async def list_folders(self) -> list[VersionFolder]:
        """Return the version folders on disk, none of them `settled`; scans are not affected. Raises as `scan`."""

    async def load(
        self, folder: VersionFolder, before_joining: Callable[[VersionKey], Awaitable[None]] | None = None
    ) -> ModelVersion | None:
        """Load a version aside and have it join; None where it is refused, which is logged, or changed meanwhile."""

    def unload(self, version_key: VersionKey) -> None:
        """Have a version leave, and give its memory back."""


class WorkerRegistry(Protocol):
    """The versions that each worker serves, shared by all workers. Raises StoreUnavailable and StoreFull."""

    @property
    def worker(self) -> str:
        """This worker's unique name."""

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

    async def find_live_session(self, version_key: VersionKey, start: IndexPosition | None) -> IndexPosition | None:
        """Return the position of the first live session of a version at or after `start`, or None if there is none.

        A long scan stops early and returns the position to continue from. New sessions are listed after all other
        sessions of their tenant.
        """


class RequestObserver(Protocol):
    """Receives the events of requests."""

    def request(self, route: str, method: str, status: int, seconds: float) -> None: ...
    def in_flight(self, change: int) -> None: ...
    def shed(self, reason: str) -> None: ...


class ModelObserver(Protocol):
    """Receives the events of model versions."""

    def model_loaded(self, model: ModelVersion) -> None: ...
    def model_unloaded(self, model: ModelVersion) -> None: ...


class SessionObserver(Protocol):
    """Receives the events of sessions and their steps."""

    def step(self, outcome: str) -> None: ...
    def session_created(self, model: str) -> None: ...
    def session_ended(self, reason: str, count: int = 1) -> None: ...
    def sessions_active(self, count: int) -> None: ...


class Observer(RequestObserver, ModelObserver, SessionObserver, Protocol):
    """Receives all events of the use cases; implemented by `service/telemetry`.

    The engine and the store declare the events that they report in protocols of their own.
    """
