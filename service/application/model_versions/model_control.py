"""Model control: loading, unloading and listing of models at the request of clients."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from service.application.access.audit import audit
from service.application.model_versions.membership import ClusterMembership
from service.application.model_versions.resolver import VersionResolver
from service.application.request_context import RequestContext
from service.domain.errors import InvalidRequest, ModelNotReady, NotAllowed

log = logging.getLogger(__name__)

#: Interval between looks at what this worker and the others serve.
POLL_SECONDS: Final = 0.25
#: How long a load waits for the other workers. One whose disk has no folder of the model never serves it.
MAX_OTHERS_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """A version of a model, and whether this worker serves it; `reason` says why not."""

    name: str
    version: str
    state: Literal["READY", "LOADING", "UNAVAILABLE"]
    reason: str = ""


class ModelControl:
    """Use cases of model control. They apply to all workers and to all protocols.

    An unloaded model is a mark in the registry of workers. Its sessions stay in the store, and continue when it is
    loaded again. Only administrators and the tenants in `admins` may load and unload models, or all if that is None.
    """

    def __init__(
        self, models: VersionResolver, membership: ClusterMembership, admins: frozenset[str] | None = None
    ) -> None:
        self._models = models
        self._membership = membership
        self._admins = admins

    def index(self, context: RequestContext, *, ready: bool = False) -> list[IndexEntry]:
        """Return the versions that this worker serves and, unless `ready`, those that it will load or has unloaded."""
        models = self._models.seen_by(context)
        availability = models.availability
        loaded = [(version.name, version.version) for versions in models.all().values() for version in versions]
        entries = [IndexEntry(*name, "READY") for name in loaded]
        if ready:
            return entries
        awaited = sorted(availability.pending(new_sessions=True) - {*loaded})
        unloaded = [(model, version) for model, versions in availability.unloaded.items() for version in versions]
        return [
            *entries,
            *(IndexEntry(*name, "LOADING", "not loaded by this worker yet") for name in awaited),
            *(IndexEntry(*name, "UNAVAILABLE", "unloaded") for name in sorted(unloaded)),
        ]

    async def load(self, context: RequestContext, model: str, parameters: Mapping[str, object]) -> None:
        """Load an unloaded model, and return when it is served.

        Raises ModelNotFound, NotAllowed, DeadlineExceeded, StoreUnavailable, and InvalidRequest for any parameter.
        """
        _refuse_unknown(parameters, (), "a model is loaded as its folder describes it")
        async with context.deadline.enforce():
            models = self._models.seen_by(context)
            await models.refresh()
            marked = context.principal.sees(model) and model in self._membership.view.unloaded
            if marked:
                self._require_admin(context, model, "load")
                await self._membership.registry.unmark_unloaded(model)
                log.info("model load requested", extra={"model": model, "tenant": context.tenant})
                audit("model.load", context.principal, model=model)
                await models.refresh()
            await _wait_until_served_here(models, model)
            if marked:
                await self._poll(lambda: all(self._serving(model)), round(MAX_OTHERS_SECONDS / POLL_SECONDS))

    async def unload(self, context: RequestContext, model: str, parameters: Mapping[str, object]) -> None:
        """Unload all versions of a model, and return when no worker serves it. Again, it changes nothing.

        Raises ModelNotFound, NotAllowed, DeadlineExceeded, StoreUnavailable, StoreFull, and InvalidRequest for
        parameters other than `unload_dependents`.
        """
        _refuse_unknown(parameters, ("unload_dependents",), "all versions of one model are unloaded")
        async with context.deadline.enforce():
            models = self._models.seen_by(context)
            if model not in models.availability.unloaded:
                await models.versions(model)
            self._require_admin(context, model, "unload")
            await self._membership.registry.mark_unloaded(model)
            log.info("model unload requested", extra={"model": model, "tenant": context.tenant})
            audit("model.unload", context.principal, model=model)
            await self._poll(lambda: self._is_unloaded(model))

    def _require_admin(self, context: RequestContext, model: str, action: str) -> None:
        if self._admins is None or context.principal.is_admin or context.tenant in self._admins:
            return
        raise NotAllowed(
            f"to {action} model {model!r} is not allowed to tenant {context.tenant!r}, since it concerns all "
            "tenants: expected one of UNROLL_MODEL_ADMINS, or the key of an administrator",
            param="model",
        )

    async def _poll(self, is_done: Callable[[], bool], polls: int | None = None) -> None:
        """Refresh the view of the cluster until `is_done`, at most `polls` times."""
        await self._models.refresh()
        while not is_done() and polls != 0:
            await asyncio.sleep(POLL_SECONDS)
            await self._models.refresh()
            polls = None if polls is None else polls - 1

    def _is_unloaded(self, model: str) -> bool:
        return model in self._membership.view.unloaded and not any(self._serving(model))

    def _serving(self, model: str) -> Iterable[bool]:
        """For each other worker, yield whether it serves a model."""
        for worker, served in self._membership.view.workers.items():
            if worker != self._membership.registry.worker:
                yield any(version.version_key.model == model for version in served)


async def _wait_until_served_here(models: VersionResolver, model: str) -> None:
    while True:
        try:
            await models.versions(model)
        except ModelNotReady:
            await asyncio.sleep(POLL_SECONDS)
        else:
            return


def _refuse_unknown(parameters: Mapping[str, object], known: tuple[str, ...], reason: str) -> None:
    """Raise InvalidRequest for the first parameter that is not known."""
    for name in parameters:
        if name not in known:
            message = f"parameters has {name[:80]!r}: expected {' or '.join(known) or 'none'}, since {reason}"
            raise InvalidRequest(message, param="parameters")
