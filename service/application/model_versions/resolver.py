"""Which model versions there are, and which one a request or a session means."""

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
    """What is known beside this worker's loaded versions.

    Args:
        open: the editions that take new sessions.
        elsewhere: what other workers serve.
        open_elsewhere: those of them that take new sessions there.
        awaited: versions whose folders lie here and are not loaded as they stand, by model and version.
        informed: whether the other workers were heard of lately.
    """

    open: frozenset[VersionKey]
    elsewhere: frozenset[VersionKey] = frozenset()
    open_elsewhere: frozenset[VersionKey] = frozenset()
    awaited: frozenset[tuple[str, str]] = frozenset()
    informed: bool = True


async def _nothing_new() -> None:
    """Stand in for a look where nobody looks."""


class VersionResolver:
    """Looks up versions by name. `standing` is replaced while the service runs; without one, all that is loaded is
    open.

    What is found nowhere is looked for once more after `refresh`, which brings `standing` up to date: another worker
    may have begun to serve it since. What another worker serves, or what lies here and is not loaded yet, is not ready
    and not missing. `touched` are the retiring editions on which sessions were run or copied since someone emptied it.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.standing: VersionAvailability | None = None
        self.touched: set[VersionKey] = set()
        self.refresh: Callable[[], Awaitable[None]] = _nothing_new

    def all(self) -> dict[str, list[ModelVersion]]:
        """Return every model's versions that take new sessions, the newest last."""
        grouped: dict[str, list[ModelVersion]] = {}
        for version in self._engine.versions():
            if self._open(version):
                grouped.setdefault(version.name, []).append(version)
        return grouped

    async def versions(self, model: str) -> list[ModelVersion]:
        """Return the versions of one model that take new sessions, the newest last.

        Raises ModelNotFound, ModelNotReady.
        """
        return await self._surely(partial(self._versions, model))

    async def version(self, model: str, version: str | None) -> ModelVersion:
        """Return the wanted version, a retiring one too, or the newest.

        Raises ModelNotFound, VersionNotFound, ModelNotReady.
        """
        return await self._surely(partial(self._version, model, version))

    async def for_session(self, model: str, version: str | None) -> ModelVersion:
        """Return the wanted version or the newest, for a new session.

        Raises ModelNotFound, VersionNotFound, ModelNotReady.
        """
        return await self._surely(partial(self._for_session, model, version))

    async def of_state(self, model: str, version: str, fingerprint: str) -> ModelVersion:
        """Return the version that a state from elsewhere belongs to, for a new session: its fingerprint decides, not
        what it is called here. Raises ModelNotFound, ModelVersionGone, ModelNotReady.
        """
        return await self._surely(partial(self._of_state, model, version, fingerprint))

    async def of_session(self, record: Record) -> ModelVersion:
        """Return the version that a session runs on.

        Raises ModelVersionGone when it is gone or another by now, ModelNotReady where this worker alone lacks it.
        """
        return await self._surely(partial(self._of_session, record))

    def runs(self, record: Record) -> bool:
        """Whether the version that a session runs on is loaded here."""
        wanted = (record.model, record.version, record.fingerprint)
        return any((one.name, one.version, one.fingerprint) == wanted for one in self._engine.versions())

    async def _surely(self, find: Callable[[], T]) -> T:
        """Return what `find` gives, if not at once then after a fresh look."""
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
        here = None
        for one in self._engine.versions():
            if one.name != record.model or one.version != record.version:
                continue
            if one.fingerprint == record.fingerprint:
                if not self._open(one):
                    self.touched.add(one.edition)
                return one
            here = one
        self._check_elsewhere(VersionKey(record.model, record.version, record.fingerprint), record.step)
        name = f"version {record.version} of {record.model}"
        if here is None:
            message = f"{name}, on which the session runs, is no longer served"
        else:
            message = (
                f"{name} was changed in place: the session's state belongs to fingerprint "
                f"{record.fingerprint[:12]}..., served is {here.fingerprint[:12]}..."
            )
        raise ModelVersionGone(message, applied="no", step=record.step)

    def _check_elsewhere(self, edition: VersionKey, step: int) -> None:
        standing = self.standing
        if standing is None:
            return
        awaited = (edition.model, edition.version) in standing.awaited
        if awaited or edition in standing.elsewhere or not standing.informed:
            raise ModelNotReady(
                f"version {edition.version} of {edition.model}, on which the session runs, is not loaded here yet",
                applied="no",
                step=step,
            )

    def _coming(self, *, new_sessions: bool) -> Collection[tuple[str, str]]:
        """What this worker may yet load, or another one serves, by model and version; perhaps to new sessions only."""
        standing = self.standing
        if standing is None:
            return ()
        elsewhere = standing.open_elsewhere if new_sessions else standing.elsewhere
        return standing.awaited | {(one.model, one.version) for one in elsewhere}

    def _may_come(self, model: str, fingerprint: str) -> bool:
        """Whether a version with that fingerprint is elsewhere, or may be what waits here."""
        standing = self.standing
        if standing is None:
            return False
        elsewhere = any((one.model, one.fingerprint) == (model, fingerprint) for one in standing.open_elsewhere)
        return elsewhere or any(name == model for name, _ in standing.awaited)

    def _open(self, version: ModelVersion) -> bool:
        return self.standing is None or version.edition in self.standing.open


def _not_ready(model: str, version: str | None) -> ModelNotReady:
    return ModelNotReady(f"version {version!r} of {model} is not loaded here yet")
