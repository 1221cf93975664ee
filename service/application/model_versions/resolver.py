"""Resolution of model versions: which loaded version a request, a session or an imported state refers to."""

import contextlib
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from service.application.ports import Engine
from service.domain.errors import ModelNotFound, ModelNotReady, ModelVersionGone, NotFound, VersionNotFound
from service.domain.models import ModelVersion, VersionKey
from service.domain.sessions import Record

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class VersionAvailability:
    """Availability of versions beyond the set that this worker has loaded.

    Args:
        open: versions that take new sessions.
        elsewhere: versions that other workers serve.
        open_elsewhere: versions that take new sessions on other workers.
        awaited: model and version of folders that this worker has not loaded in their present content.
        informed: whether the list of the other workers' versions is recent.
    """

    open: frozenset[VersionKey]
    elsewhere: frozenset[VersionKey] = frozenset()
    open_elsewhere: frozenset[VersionKey] = frozenset()
    awaited: frozenset[tuple[str, str]] = frozenset()
    informed: bool = True


async def _nothing_new() -> None:
    """Do nothing: the refresh of a resolver that has no reconciler."""


class VersionResolver:
    """Resolver of versions by name, fingerprint or record.

    The reconciler replaces `availability` while the service runs; without one, every loaded version is open. A version
    that is not found is looked up once more after `refresh`, which updates `availability`: another worker may serve it
    by now. A version that another worker serves, or whose folder is not loaded yet, is not ready rather than missing.
    `recently_used` collects the retiring versions whose sessions were run or copied; the reconciler empties it.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.availability: VersionAvailability | None = None
        self.recently_used: set[VersionKey] = set()
        self.refresh: Callable[[], Awaitable[None]] = _nothing_new

    def all(self) -> dict[str, list[ModelVersion]]:
        """Return the versions of each model that take new sessions, the newest last."""
        grouped: dict[str, list[ModelVersion]] = {}
        for version in self._engine.versions():
            if self._open(version):
                grouped.setdefault(version.name, []).append(version)
        return grouped

    async def versions(self, model: str) -> list[ModelVersion]:
        """Return the versions of one model that take new sessions, the newest last.

        Raises ModelNotFound, ModelNotReady.
        """
        return await self._with_refresh(partial(self._versions, model))

    async def version(self, model: str, version: str | None) -> ModelVersion:
        """Return the requested version, even if it is retiring, or the newest one if `version` is None.

        Raises ModelNotFound, VersionNotFound, ModelNotReady.
        """
        return await self._with_refresh(partial(self._version, model, version))

    async def for_session(self, model: str, version: str | None) -> ModelVersion:
        """Return the requested version, or the newest one if `version` is None, for a new session.

        Raises ModelNotFound, VersionNotFound, ModelNotReady.
        """
        return await self._with_refresh(partial(self._for_session, model, version))

    async def of_state(self, model: str, version: str, fingerprint: str) -> ModelVersion:
        """Return the version with the fingerprint of an imported state, whatever its number, for a new session.

        Raises ModelNotFound, ModelVersionGone, ModelNotReady.
        """
        return await self._with_refresh(partial(self._of_state, model, version, fingerprint))

    async def of_session(self, record: Record) -> ModelVersion:
        """Return the version that a session runs on.

        Raises ModelVersionGone if it is no longer served or was changed, ModelNotReady if only this worker lacks it.
        """
        return await self._with_refresh(partial(self._of_session, record))

    def runs(self, record: Record) -> bool:
        """Return whether the version of a session is loaded in this worker."""
        return self._loaded_version(record) is not None

    def _loaded_version(self, record: Record) -> ModelVersion | None:
        for version in self._engine.versions():
            if version.fingerprint == record.fingerprint and (version.name, version.version) == _name_of(record):
                return version
        return None

    async def _with_refresh(self, find: Callable[[], T]) -> T:
        """Return the result of `find`; if it finds nothing, refresh and try once more."""
        with contextlib.suppress(NotFound, ModelVersionGone):
            return find()
        await self.refresh()
        return find()

    def _versions(self, model: str) -> list[ModelVersion]:
        grouped = self.all()
        if model not in grouped:
            if any(name == model for name, _ in self._coming(new_sessions=True)):
                raise ModelNotReady(f"model {model!r} is not loaded here yet")
            raise ModelNotFound(f"model {model!r} is not served: expected one of {sorted(grouped)}", param="model")
        return grouped[model]

    def _version(self, model: str, version: str | None) -> ModelVersion:
        for one in self._engine.versions():
            if (one.name, one.version) == (model, version):
                return one
        if (model, version) in self._coming(new_sessions=False):
            raise _not_ready(model, version)
        return self._for_session(model, version)

    def _for_session(self, model: str, version: str | None) -> ModelVersion:
        versions = self._versions(model)
        if version is None:
            return versions[-1]
        for one in versions:
            if one.version == version:
                return one
        retiring = (model, version) in {(one.name, one.version) for one in self._engine.versions()}
        if not retiring and (model, version) in self._coming(new_sessions=True):
            raise _not_ready(model, version)
        what = "is being retired and takes no new sessions" if retiring else "is not served"
        known = [one.version for one in versions]
        raise VersionNotFound(f"version {version!r} of {model} {what}: expected one of {known}", param="version")

    def _of_state(self, model: str, version: str, fingerprint: str) -> ModelVersion:
        versions = self._versions(model)
        same = [one for one in versions if one.fingerprint == fingerprint]
        if same:
            return next((one for one in same if one.version == version), same[-1])
        if self._may_come(model, fingerprint):
            raise ModelNotReady(f"the version of {model} that the state belongs to is not loaded here yet")
        served = ", ".join(f"{one.fingerprint[:12]}... ({one.version})" for one in versions)
        raise ModelVersionGone(
            f"metadata.fingerprint is sha256:{fingerprint[:12]}...: expected that of a served version of "
            f"{model}: {served}",
            param="metadata.fingerprint",
        )

    def _of_session(self, record: Record) -> ModelVersion:
        loaded = self._loaded_version(record)
        if loaded is not None:
            if not self._open(loaded):
                self.recently_used.add(loaded.version_key)
            return loaded
        self._check_elsewhere(VersionKey(record.model, record.version, record.fingerprint), record.step)
        name = f"version {record.version} of {record.model}"
        changed = next((one for one in self._engine.versions() if (one.name, one.version) == _name_of(record)), None)
        if changed is None:
            message = f"{name}, on which the session runs, is no longer served"
        else:
            message = (
                f"{name} was changed in place: the session's state belongs to fingerprint "
                f"{record.fingerprint[:12]}..., served is {changed.fingerprint[:12]}..."
            )
        raise ModelVersionGone(message, applied="no", step=record.step)

    def _check_elsewhere(self, version_key: VersionKey, step: int) -> None:
        availability = self.availability
        if availability is None:
            return
        awaited = (version_key.model, version_key.version) in availability.awaited
        if awaited or version_key in availability.elsewhere or not availability.informed:
            raise ModelNotReady(
                f"version {version_key.version} of {version_key.model}, on which the session runs, "
                "is not loaded here yet",
                applied="no",
                step=step,
            )

    def _coming(self, *, new_sessions: bool) -> Collection[tuple[str, str]]:
        """Return model and version of what this worker may still load or another one serves."""
        availability = self.availability
        if availability is None:
            return ()
        elsewhere = availability.open_elsewhere if new_sessions else availability.elsewhere
        return availability.awaited | {(one.model, one.version) for one in elsewhere}

    def _may_come(self, model: str, fingerprint: str) -> bool:
        """Return whether another worker serves this fingerprint, or a folder that is not loaded yet may have it."""
        availability = self.availability
        if availability is None:
            return False
        elsewhere = any((one.model, one.fingerprint) == (model, fingerprint) for one in availability.open_elsewhere)
        return elsewhere or any(name == model for name, _ in availability.awaited)

    def _open(self, version: ModelVersion) -> bool:
        return self.availability is None or version.version_key in self.availability.open


def _name_of(record: Record) -> tuple[str, str]:
    return record.model, record.version


def _not_ready(model: str, version: str | None) -> ModelNotReady:
    return ModelNotReady(f"version {version!r} of {model} is not loaded here yet")
