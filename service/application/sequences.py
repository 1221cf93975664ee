"""Sequences: sessions under names that their clients choose, as the sequence extension of Triton has them.

The session of a sequence is found by its tenant, its model and the name, of which its id is derived, on any worker. It
begins with a step that says so, ends with one that says so, and begins anew under the same id.
"""

import asyncio
import contextlib
from dataclasses import dataclass

from service.application.ports import Engine
from service.application.request_context import RequestContext
from service.application.sessions.creation import SessionFactory
from service.application.sessions.serializers import StepResponse
from service.application.sessions.step_item import SequenceBoundary, Step
from service.application.sessions.steps import Steps
from service.domain.errors import InvalidRequest, SessionEnded, SessionExpired, SessionNotFound
from service.domain.models import ModelVersion
from service.domain.operations import Predict

#: Seconds that a step waits before it looks again for a sequence that is not there. Load generators send requests of
#: one sequence over several connections without waiting, so that the first one may arrive after the second.
WAITS_FOR_START = (0.05, 0.15)


@dataclass(frozen=True, slots=True)
class Sequence:
    """The part that a request has in a sequence. Numbers and texts are different names.

    `step` is the step count that the request expects, for an application exactly once.
    """

    id: int | str
    start: bool = False
    end: bool = False
    step: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sequences:
    """Use cases of sequences."""

    engine: Engine
    creations: SessionFactory
    steps: Steps

    async def apply(
        self, context: RequestContext, model: ModelVersion, sequence: Sequence, operation: Predict
    ) -> StepResponse:
        """Apply the step of a sequence.

        Raises SessionNotFound for a sequence that did not begin, has ended or has expired; else as `Steps.apply`.
        """
        if sequence.start and sequence.step:
            raise InvalidRequest(
                f"parameters.step is {sequence.step}: expected 0 with sequence_start", param="step", applied="no"
            )
        async with context.deadline.enforce():
            ids = await self.creations.ids()
        session_id = ids.derived(context.tenant, "sequence", model.name, type(sequence.id).__name__, str(sequence.id))
        step = Step(session_id, operation, sequence.step, boundary=self._boundary(context.tenant, model, sequence))
        for seconds in WAITS_FOR_START:
            with contextlib.suppress(SessionExpired, SessionEnded):
                return await self.steps.apply(context, step)
            await asyncio.sleep(seconds)
        try:
            return await self.steps.apply(context, step)
        except (SessionExpired, SessionEnded):
            raise SessionNotFound(
                f"sequence {str(sequence.id)[:80]!r} of model {model.name} is not there, or not any more: a client "
                "must specify the START flag on the first request of the sequence",
                param="sequence_id",
                applied="no",
            ) from None

    def _boundary(self, tenant: str, model: ModelVersion, sequence: Sequence) -> SequenceBoundary | None:
        if not (sequence.start or sequence.end):
            return None
        if not sequence.start:
            return SequenceBoundary(None, sequence.end)
        # Where the state before any input depends on the first one, the step computes it.
        state = self.engine.initial_state(model) if self.engine.has_initial_state(model) else b""
        return SequenceBoundary(self.creations.first_record_of_sequence(tenant, model, state), sequence.end)
