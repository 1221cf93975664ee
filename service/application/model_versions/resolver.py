"""Which model versions there are, and which one a request or a session means."""

from dataclasses import dataclass

from service.application.ports import Engine
from service.domain.errors import ModelNotFound, ModelNotReady, ModelVersionGone, VersionNotFound
from service.domain.models import ModelVersion, VersionKey
from service.domain.sessions import Record


@dataclass(frozen=True, slots=True)
class VersionAvailability:
    """What is known beside this worker's loaded versions.

    Args:
        open: the editions that take new sessions.
        elsewhere: what other workers serve.
        awaited: versions whose folders lie here and are not loaded as they stand, by model and version.
        informed: whether the other workers were heard of lately.
    """

    open: frozenset[VersionKey]
    elsewhere: frozenset[VersionKey] = frozenset()
    awaited: frozenset[tuple[str, str]] = frozenset()
    informed: bool = True


class VersionResolver:
    """Looks up versions by name. `standing` is replaced while the service runs; without one, all that is loaded is
    open.

    `touched` are the retiring editions on which sessions were run or copied since someone emptied it.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.standing: VersionAvailability | None = None
        self.touched: set[VersionKey] = set()

    def all(self) -> dict[str, list[ModelVersion]]:
        """Return every model's versions that take new sessions, the newest last."""
        grouped: dict[str, list[ModelVersion]] = {}
        for version in self._engine.versions():
            if self._open(version):
                grouped.setdefault(version.name, []).append(version)
        return grouped

    def versions(self, model: str) -> list[ModelVersion]:
        """Return the versions of one model that take new sessions, the newest last. Raises ModelNotFound."""
        grouped = self.all()
        if model not in grouped:
            raise ModelNotFound(f"model {model!r} is not served: expected one of {sorted(grouped)}", param="model")
        return grouped[model]

    def version(self, model: str, version: str | None) -> ModelVersion:
        """Return the wanted version, a retiring one too, or the newest. Raises ModelNotFound, VersionNotFound."""
        for one in self._engine.versions():
            if (one.name, one.version) == (model, version):
                return one
        return self.for_session(model, version)

    def for_session(self, model: str, version: str | None) -> ModelVersion:
        """Return the wanted version or the newest, for a new session. Raises ModelNotFound, VersionNotFound."""
        versions = self.versions(model)
        if version is None:
            return versions[-1]
        for one in versions:
            if one.version == version:
                return one
        retiring = (model, version) in {(one.name, one.version) for one in self._engine.versions()}
        what = "is being retired and takes no new sessions" if retiring else "is not served"
        known = [one.version for one in versions]
        raise VersionNotFound(f"version {version!r} of {model} {what}: expected one of {known}", param="version")

    def of_session(self, record: Record) -> ModelVersion:
        """Return the version that a session runs on.

        Raises ModelVersionGone when it is gone or another by now, ModelNotReady where this worker alone lacks it.
        """
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

    def _open(self, version: ModelVersion) -> bool:
        return self.standing is None or version.edition in self.standing.open
