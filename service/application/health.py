"""Health checks: liveness and readiness of this worker."""

from dataclasses import dataclass

from service.application.limits.admission import Admission
from service.application.model_versions.resolver import VersionResolver
from service.application.ports import Engine, SessionObserver, StateStore
from service.domain.errors import UnrollError
from service.domain.operations import Json


@dataclass(frozen=True, slots=True)
class Readiness:
    """Result of a readiness check: `ready` decides the status, `report` is the body."""

    ready: bool
    report: dict[str, Json]


class Health:
    """Health checks over the parts of a worker."""

    def __init__(
        self,
        engine: Engine,
        models: VersionResolver,
        store: StateStore,
        admission: Admission,
        observer: SessionObserver,
    ) -> None:
        self._engine = engine
        self._models = models
        self._store = store
        self._admission = admission
        self._observer = observer

    async def readiness(self) -> Readiness:
        """Return the readiness: draining, degraded (only predictions without a session work), or unavailable."""
        checks: dict[str, Json] = {
            "engine": "ok" if self._engine.healthy() else "the engine has died",
            "models": "ok" if self._has_models() else "no model is loaded",
            "admission": "draining" if self._admission.draining else "ok",
        }
        able = checks["engine"] == checks["models"] == "ok"
        try:
            await self._store.ping()
            checks["store"] = "ok"
        except UnrollError as error:
            checks["store"] = error.message
        ready = all(state == "ok" for state in checks.values())
        return Readiness(ready, {"status": "ready" if ready else self._lack(able), "checks": checks})

    def _has_models(self) -> bool:
        """Return whether models are loaded, or none because clients have unloaded them, which takes a ready worker."""
        return bool(self._engine.versions() or self._models.availability.unloaded)

    def _lack(self, able: bool) -> str:
        if self._admission.draining:
            return "draining"
        return "degraded" if able else "unavailable"

    async def count_sessions(self) -> None:
        """Update the gauge of live sessions and count expired ones, unless the store is unreachable."""
        try:
            self._observer.sessions_active(await self._store.active())
        except UnrollError:
            return
