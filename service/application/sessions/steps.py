"""Use cases of steps: one step, many steps of one request, streams of steps."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from service.application.deadlines import DEPARTED
from service.application.model_versions.resolver import VersionResolver
from service.application.operation_runner import OperationRunner
from service.application.ports import TokenReceiver, Trace
from service.application.request_context import RequestContext
from service.application.sessions import serializers
from service.application.sessions.idempotency import require_expected_step
from service.application.sessions.serializers import StepResponse
from service.application.sessions.sessions import Sessions
from service.application.sessions.step_item import ResetStep, Step, StepItem
from service.application.sessions.step_pipeline import StepPipeline
from service.application.sessions.step_stream import StepStream
from service.application.time_slices import TurnSlices
from service.application.token_stream import TokenBuffer, TokenStream, replay_tokens
from service.domain.errors import STOPPED, ShuttingDown, UnrollError


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """Use cases of steps. Each step is applied exactly once, in order."""

    sessions: Sessions
    models: VersionResolver
    operations: OperationRunner
    pipeline: StepPipeline
    slices: TurnSlices

    async def peek(self, context: RequestContext, step: Step, receiver: TokenReceiver | None = None) -> StepResponse:
        """Return the answer that a step would get, without advancing the session. Raises StepConflict."""
        record = await self.sessions.record(context, step.session_id)
        require_expected_step(record, step.identity())
        async with context.deadline.enforce():
            model = await self.models.version_for_session(record)
        outcome = await self.operations.run(context, model, step.operation, record.state, receiver)
        stands = {"step": record.step, "timesteps": record.timesteps, "expires_at": record.expires_at}
        return StepResponse(serializers.step_result(step.session_id, record, outcome.output, **stands))

    def stream(self, context: RequestContext, step: Step, *, commit: bool) -> TokenStream[StepResponse]:
        """Return a stream of the tokens of a step that generates. Its answer is that of `apply`, or else of `peek`.

        Beside what these raise, a stream raises StepConflict if another worker advanced the session after the first
        token: an ordinary step is computed again then, but its tokens would be others.
        """

        async def generate(buffer: TokenBuffer) -> StepResponse:
            if not commit:
                return await self.peek(context, step, buffer)
            response = await self.apply(context, step, buffer)
            if response.replayed:
                replay_tokens(response.body, buffer)
            return response

        return TokenStream(context.deadline.clock.monotonic(), generate)

    async def apply(
        self, context: RequestContext, step: Step | ResetStep, receiver: TokenReceiver | None = None
    ) -> StepResponse:
        """Apply a step or a reset, or replay its answer. `applied` of an error states whether the step took effect."""
        result = (await self.apply_all(context, [step], receiver))[0]
        if isinstance(result, UnrollError):
            raise result
        return result

    async def apply_all(
        self, context: RequestContext, steps: Sequence[Step | ResetStep], receiver: TokenReceiver | None = None
    ) -> list[StepResponse | UnrollError]:
        """Apply steps of many sessions concurrently; steps of one session run in their order."""
        countdown, items = _Countdown(len(steps)), list[StepItem]()
        # Phases of steps that run at the same time would overlap.
        trace = context.trace if len(steps) == 1 else None

        def admit(step: Step | ResetStep) -> None:
            items.append(_item(context, step, countdown, receiver, trace))
            self.pipeline.admit(items[-1])

        try:
            if len(steps) == 1:
                admit(steps[0])
            else:
                for step in steps:
                    await self.slices.run(context.cost.client, partial(admit, step))
            await countdown.future
        except asyncio.CancelledError as error:
            departed = DEPARTED in error.args
            for item in items:
                why = ShuttingDown(STOPPED, applied=item.applied)
                self.pipeline.abandon(item, why, counted=not departed)
            if departed:
                raise
        results = [item.result for item in items if item.result is not None]
        stopped = ShuttingDown(STOPPED, applied="no")
        return results + [stopped] * (len(steps) - len(items))

    def step_stream(self) -> StepStream:
        """Return a new stream for the steps of one session."""
        return StepStream(self.pipeline)

    async def drain(self) -> None:
        """Return when nothing is being read or written for a step any more."""
        await self.pipeline.drain()


def _item(
    context: RequestContext,
    step: Step | ResetStep,
    countdown: "_Countdown",
    receiver: TokenReceiver | None,
    trace: Trace | None,
) -> StepItem:
    session, identity = (context.tenant, step.session_id), step.identity()
    boundary = step.boundary if isinstance(step, Step) else None
    return StepItem(
        session,
        step.operation,
        identity,
        context.deadline,
        context.cost,
        countdown.count,
        receiver,
        boundary,
        trace,
        context.principal.models,
    )


class _Countdown:
    """A future that is done when as many results are there as were waited for."""

    __slots__ = ("_left", "future")

    def __init__(self, count: int) -> None:
        self._left = count
        self.future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def count(self) -> None:
        self._left -= 1
        if self._left == 0 and not self.future.done():
            self.future.set_result(None)
