"""Transfer of states: export to safetensors files, and new sessions from such files."""

from dataclasses import dataclass

from service.application.model_versions.resolver import VersionResolver
from service.application.ports import StateFiles
from service.application.request_context import RequestContext
from service.application.sessions.creation import Created, IdempotentCreate, SessionFactory
from service.application.sessions.request_digest import digest
from service.application.sessions.sessions import Sessions
from service.application.sessions.state_metadata import metadata_of, read_metadata
from service.domain.sessions import Durability, Record


@dataclass(frozen=True, slots=True)
class ExportedState:
    """A safetensors file of a session's state at `step`."""

    content: bytes
    step: int


@dataclass(frozen=True, slots=True)
class StateImport:
    """Request to import a file as a new session; durability None is the default of the service."""

    content: bytes
    ttl_seconds: int
    durability: Durability | None
    kept_steps: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StateTransfer:
    """Use cases of exporting and importing states."""

    sessions: Sessions
    creations: SessionFactory
    models: VersionResolver
    files: StateFiles

    async def export(self, context: RequestContext, session_id: str) -> ExportedState:
        """Return the state of a session, which is not changed. Raises ModelVersionGone if its version is not served."""
        record = await self.sessions.record(context, session_id)
        async with context.deadline.enforce():
            model = await self.models.version_for_session(record)
        return ExportedState(self.files.write(model, record.state, metadata_of(record, model)), record.step)

    async def import_state(self, context: RequestContext, request: StateImport, key: str | None) -> Created:
        """Create a session at the step of the exported one. The same key returns the same session again.

        Raises InvalidRequest for a file that is no state of its model, ModelNotFound, ModelVersionGone, ModelNotReady.
        """
        file = self.files.read(request.content)
        metadata = read_metadata(file.metadata)
        await self.models.require_visible(context, metadata.model)

        async def make() -> Record:
            async with context.deadline.enforce():
                model = await self.models.version_for_state(metadata.model, metadata.version, metadata.fingerprint)
            metadata.require(model)
            counts = {"step": metadata.step, "timesteps": metadata.timesteps}
            return self.creations.first_record(model, file.state(model), request, **counts)

        # A key of a plain creation is another creation's here, too.
        repeatable = None if key is None else IdempotentCreate(("create", key), digest("import", request))
        return await self.creations.once(context, repeatable, make)
