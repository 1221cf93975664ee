"""Resolution of model versions: which loaded version a request, a session or an imported state refers to."""

import contextlib
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Protocol, TypeVar

from service.application.model_versions.availability import VersionAvailability
from service.application.request_context import RequestContext
from service.domain.errors import ModelNotFound, ModelNotReady, ModelVersionGone, NotFound, VersionNotFound
from service.domain.models import ModelVersion, VersionKey
from service.domain.sessions import Record

T = TypeVar("T")


async def _no_refresh() -> None:
    """Do nothing: the refresh of a resolver that has no reconciler."""


class LoadedVersions(Protocol):
    """The part of the engine that tells which versions are loaded."""

    def versions(self) -> list[ModelVersion]: ...
    def find(self, model: str, version: str) -> ModelVersion | None: ...


class VersionResolver:
    """Resolver of versions by name, fingerprint or record.

    The reconciler replaces `availability` while the service runs. A lookup that finds nothing is repeated once after
    `refresh`, which updates `availability`, because another worker may serve the version by now. A version that another
    worker serves, or whose folder is not loaded yet, is not ready rather than missing. `recently_used` collects the
    retiring versions whose sessions were run or copied; the reconciler empties it.
    """

    def __init__(self, engine: LoadedVersions) -> None:
        self._engine = engine
        self.availability = VersionAvailability()
        self.recently_used: set[VersionKey] = set()
        self.refresh: Callable[[], Awaitable[None]] = _no_refresh

    def seen_by(self, context: RequestContext) -> "VersionResolver":
        """Return a resolver for which only the models exist that the sender of a request may use."""
        models = context.principal.models
        return self if models is None else _RestrictedResolver(self, self._engine, models)

    async def require_visible(self, context: RequestContext, model: str) -> None:
        """Raise ModelNotFound for a model that the sender of a request may not use, as for one that is not there."""
        if not context.principal.sees(model):
            async with context.deadline.enforce():
                await self.seen_by(context).versions(model)

    def all(self) -> dict[str, list[ModelVersion]]:
        """Return the versions of each model that take new sessions, the newest last."""
        grouped: dict[str, list[ModelVersion]] = {}
        for version in self._engine.versions():
            if self.availability.is_open(version):
                grouped.setdefault(version.name, []).append(version)
        return grouped

    def retiring(self, model: str) -> list[ModelVersion]:
        """Return the loaded versions of one model that take no new sessions."""
        return [
            version
            for version in self._engine.versions()
            if version.name == model and not self.availability.is_open(version)
        ]

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

    async def requested(self, context: RequestContext, model: str, version: str | None) -> ModelVersion:
        """Return what `version` returns for the sender of a request, by its deadline.

        Raises ModelNotFound, VersionNotFound, ModelNotReady, DeadlineExceeded.
        """
        models = self.seen_by(context)
        loaded = models.find(model, version)
        if loaded is not None:
            return loaded
        async with context.deadline.enforce():
            return await models.version(model, version)

    def find(self, model: str, version: str | None) -> ModelVersion | None:
        """Return the version that `version` returns if this worker has loaded it, else None."""
        with contextlib.suppress(NotFound, ModelNotReady):
            return self._version(model, version)
        return None

    async def version_for_new_session(self, model: str, version: str | None) -> ModelVersion:
        """Return the requested version, or the newest one if `version` is None, for a new session.

        Raises ModelNotFound, VersionNotFound, ModelNotReady.
        """
        return await self._with_refresh(partial(self._version_for_new_session, model, version))

    async def version_for_state(self, model: str, version: str, fingerprint: str) -> ModelVersion:
        """Return the version with the fingerprint of an imported state, whatever its number, for a new session.

        Raises ModelNotFound, ModelVersionGone, ModelNotReady.
        """
        return await self._with_refresh(partial(self._version_for_state, model, version, fingerprint))

    async def version_for_session(self, record: Record) -> ModelVersion:
        """Return the version that a session runs on.

        Raises ModelVersionGone if it is no longer served or was changed, ModelNotReady if only this worker lacks it.
        """
        return await self._with_refresh(partial(self._version_for_session, record))

    def loaded(self, record: Record) -> ModelVersion | None:
        """Return the version that a session runs on if this worker has loaded it, else None."""
        version = self._engine.find(record.model, record.version)
        if version is None or version.fingerprint != record.fingerprint:
            return None
        if not self.availability.is_open(version):
            self.recently_used.add(version.version_key)
        return version

    async def _with_refresh(self, find: Callable[[], T]) -> T:
        """Return the result of `find`; if it finds nothing, refresh and try once more."""
        with contextlib.suppress(NotFound, ModelVersionGone):
            return find()
        await self.refresh()
        return find()

    def _versions(self, model: str) -> list[ModelVersion]:
        grouped = self.all()
        if model not in grouped:
            if model in self.availability.unloaded:
                raise ModelNotFound(
                    f"model {model!r} has no available versions, since it was unloaded: expected one of "
                    f"{sorted(grouped)}",
                    param="model",
                )
            if any(name == model for name, _ in self.availability.pending(new_sessions=True)):
                raise ModelNotReady(f"model {model!r} is not loaded here yet")
            raise ModelNotFound(f"model {model!r} is not served: expected one of {sorted(grouped)}", param="model")
        return grouped[model]

    def _version(self, model: str, version: str | None) -> ModelVersion:
        for loaded in self._engine.versions():
            if _name_of(loaded) == (model, version):
                return loaded
        if (model, version) in self.availability.pending(new_sessions=False):
            raise _not_ready(model, version)
        return self._version_for_new_session(model, version)

    def _version_for_new_session(self, model: str, version: str | None) -> ModelVersion:
        versions = self._versions(model)
        if version is None:
            return versions[-1]
        for candidate in versions:
            if candidate.version == version:
                return candidate
        retiring = (model, version) in map(_name_of, self._engine.versions())
        if not retiring and (model, version) in self.availability.pending(new_sessions=True):
            raise _not_ready(model, version)
        what = "is being retired and takes no new sessions" if retiring else "is not served"
        known = [candidate.version for candidate in versions]
        raise VersionNotFound(f"version {version!r} of {model} {what}: expected one of {known}", param="version")

    def _version_for_state(self, model: str, version: str, fingerprint: str) -> ModelVersion:
        versions = self._versions(model)
        matching = [candidate for candidate in versions if candidate.fingerprint == fingerprint]
        if matching:
            return next((candidate for candidate in matching if candidate.version == version), matching[-1])
        if self.availability.is_fingerprint_pending(model, fingerprint):
            raise ModelNotReady(f"the version of {model} that the state belongs to is not loaded here yet")
        served = ", ".join(f"{candidate.fingerprint[:12]}... ({candidate.version})" for candidate in versions)
        raise ModelVersionGone(
            f"metadata.fingerprint is sha256:{fingerprint[:12]}...: expected that of a served version of "
            f"{model}: {served}",
            param="metadata.fingerprint",
        )

    def _version_for_session(self, record: Record) -> ModelVersion:
        version = self.loaded(record)
        if version is None:
            raise self._missing(record)
        return version

    def _missing(self, record: Record) -> ModelNotReady | ModelVersionGone:
        """Return the error for a session whose version is not loaded here."""
        name = f"version {record.version} of {record.model}"
        if record.model in self.availability.unloaded:
            message = f"{name}, on which the session runs, was unloaded: the session continues when it is loaded again"
            return ModelNotReady(message, applied="no", step=record.step)
        if self.availability.is_pending(_version_key_of(record)):
            return ModelNotReady(
                f"{name}, on which the session runs, is not loaded here yet", applied="no", step=record.step
            )
        changed = self._engine.find(record.model, record.version)
        if changed is not None:
            message = (
                f"{name} was changed in place: the session's state belongs to fingerprint "
                f"{record.fingerprint[:12]}..., served is {changed.fingerprint[:12]}..."
            )
        else:
            message = f"{name}, on which the session runs, is no longer served"
        return ModelVersionGone(message, applied="no", step=record.step)


class _RestrictedResolver(VersionResolver):
    """Resolver of the versions of `models` alone, over one of all versions."""

    def __init__(self, whole: VersionResolver, engine: LoadedVersions, models: frozenset[str]) -> None:
        super().__init__(_RestrictedEngine(engine, models))
        self._whole = whole
        self._models = models
        self.availability = whole.availability.of(models)
        self.recently_used = whole.recently_used
        self.refresh = self._refresh

    async def _refresh(self) -> None:
        await self._whole.refresh()
        self.availability = self._whole.availability.of(self._models)


class _RestrictedEngine:
    """The loaded versions of `models`."""

    def __init__(self, engine: LoadedVersions, models: frozenset[str]) -> None:
        self._engine = engine
        self._models = models

    def versions(self) -> list[ModelVersion]:
        return [version for version in self._engine.versions() if version.name in self._models]

    def find(self, model: str, version: str) -> ModelVersion | None:
        return self._engine.find(model, version) if model in self._models else None


def _name_of(version: ModelVersion) -> tuple[str, str]:
    return version.name, version.version


def _version_key_of(record: Record) -> VersionKey:
    return VersionKey(record.model, record.version, record.fingerprint)


def _not_ready(model: str, version: str | None) -> ModelNotReady:
    return ModelNotReady(f"version {version!r} of {model} is not loaded here yet")
