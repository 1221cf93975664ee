"""One worker's use cases over fakes."""

import json
from dataclasses import replace
from typing import Any

from service.application.deadlines import Deadline
from service.application.model_versions.resolver import VersionResolver
from service.application.operation_runner import OperationRunner
from service.application.request_context import RequestContext
from service.application.sessions.creation import Created, SessionFactory
from service.application.sessions.sessions import NewSession, Sessions
from service.application.sessions.state_transfer import StateImport, StateTransfer
from service.application.sessions.step_item import Step
from service.application.sessions.step_pipeline import StepPipeline
from service.application.sessions.steps import Steps
from service.application.sessions.turns import SessionTurns
from service.application.time_slices import TurnSlices
from service.domain.models import ModelVersion
from service.domain.operations import Predict, PredictOptions, TextInput
from service.domain.sessions import Record
from tests.fakes import AddingEngine, CountingObserver, DateClock, MemoryStore, NumberFiles


class World:
    """One worker; another `World` on the same store is a second one."""

    def __init__(self, store: MemoryStore | None = None, engine: AddingEngine | None = None) -> None:
        self.engine, self.store = engine or AddingEngine(), store or MemoryStore()
        self.observer, self.clock, self.turns = CountingObserver(), DateClock(), SessionTurns()
        models, self.files, slices = VersionResolver(self.engine), NumberFiles(), TurnSlices()
        self.operations = OperationRunner(self.engine, self.clock, slices)
        creations = SessionFactory(
            engine=self.engine, store=self.store, observer=self.observer, clock=self.clock, durability="memory"
        )
        self.sessions = Sessions(
            models=models,
            engine=self.engine,
            operations=self.operations,
            store=self.store,
            turns=self.turns,
            observer=self.observer,
            clock=self.clock,
            creations=creations,
        )
        self.transfers = StateTransfer(sessions=self.sessions, creations=creations, models=models, files=self.files)
        pipeline = StepPipeline(
            models=models,
            engine=self.engine,
            store=self.store,
            turns=self.turns,
            observer=self.observer,
            clock=self.clock,
            slices=slices,
        )
        self.steps = Steps(
            sessions=self.sessions, models=models, operations=self.operations, pipeline=pipeline, slices=slices
        )

    def context(self, tenant: str = "public", seconds: float = 30) -> RequestContext:
        return RequestContext(tenant, Deadline.after(self.clock, seconds))

    async def session(self, kept_steps: int = 0, **changes: Any) -> str:
        wanted = replace(NewSession("adder", None, 3600, "memory", kept_steps), **changes)
        created = await self.sessions.create(self.context(), wanted, None)
        return str(created.session["id"])

    async def imported(self, content: bytes, key: str | None = None, **changes: Any) -> Created:
        return await self.transfers.import_state(
            self.context(), replace(StateImport(content, 3600, None, 0), **changes), key
        )

    def hold_ready(self, session_id: str) -> None:
        """Have the store hold the record ready as it is now; nothing takes it back."""
        record = self.store.records["public", session_id]
        assert record is not None
        self.store.held["public", session_id] = record

    async def step(self, session_id: str, *ids: int, **marks: Any) -> dict[str, Any]:
        answer = await self.steps.apply(self.context(), Step(session_id, feed(*ids), **marks))
        return json.loads(answer.body) | {"replayed": answer.replayed, "body": answer.body}


def session_on(version: ModelVersion) -> Record:
    """A session that stands at step 7."""
    return Record(
        model=version.name,
        version=version.version,
        fingerprint=version.fingerprint,
        dtype="float32",
        step=7,
        timesteps=7,
        created_at=0,
        expires_at=0,
        ttl_seconds=1,
        durability="memory",
        kept_steps=0,
        state=b"",
    )


def feed(*ids: int, top_k: int = 5) -> Predict:
    return Predict(TextInput(ids=ids), PredictOptions(top_k))


def folded(*ids: int) -> int:
    value = 0
    for index in ids:
        value = (31 * value + index) % 2**61
    return value
