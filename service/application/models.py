"""Which model versions there are, and which one a request or a session means."""

from service.application.ports import Engine
from service.errors import ModelNotFound, ModelVersionGone, VersionNotFound
from service.types import ModelVersion, Record


class Models:
    """Looks up versions by name."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def all(self) -> dict[str, list[ModelVersion]]:
        """Return every model's versions, the newest last."""
        grouped: dict[str, list[ModelVersion]] = {}
        for version in self._engine.versions():
            grouped.setdefault(version.name, []).append(version)
        return grouped

    def versions(self, model: str) -> list[ModelVersion]:
        """Return the versions of one model, the newest last. Raises ModelNotFound."""
        grouped = self.all()
        if model not in grouped:
            raise ModelNotFound(f"model {model!r} is not served: expected one of {sorted(grouped)}", param="model")
        return grouped[model]

    def version(self, model: str, version: str | None) -> ModelVersion:
        """Return the wanted version, or the newest. Raises ModelNotFound, VersionNotFound."""
        versions = self.versions(model)
        if version is None:
            return versions[-1]
        for one in versions:
            if one.version == version:
                return one
        known = [one.version for one in versions]
        raise VersionNotFound(f"version {version!r} of {model} is not served: expected one of {known}", param="version")

    def of_session(self, record: Record) -> ModelVersion:
        """Return the version that a session runs on. Raises ModelVersionGone when it is gone or another by now."""
        for one in self._engine.versions():
            if (one.name, one.version) == (record.model, record.version):
                if one.fingerprint == record.fingerprint:
                    return one
                raise ModelVersionGone(
                    f"version {record.version} of {record.model} was changed in place: the session's state belongs to "
                    f"fingerprint {record.fingerprint[:12]}..., served is {one.fingerprint[:12]}...",
                    applied="no",
                    step=record.step,
                )
        raise ModelVersionGone(
            f"version {record.version} of {record.model}, on which the session runs, is no longer served",
            applied="no",
            step=record.step,
        )
