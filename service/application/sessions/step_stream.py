"""Streams of steps: a client sends the steps of a session without waiting for their answers."""

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

from service.application.request_context import RequestContext
from service.application.sessions.serializers import StepResponse
from service.application.sessions.step_item import Step, StepItem
from service.application.sessions.step_pipeline import StepPipeline
from service.domain.errors import ShuttingDown, UnrollError

#: Receives the answer to a step.
OnAnswer: TypeAlias = "Callable[[StepResponse | UnrollError], None]"


class _StreamedStep:
    """A step of a stream, and its result as soon as there is one. A step that does not run has no item."""

    __slots__ = ("item", "on_answer", "result")

    def __init__(self, on_answer: OnAnswer, result: UnrollError | None = None) -> None:
        self.on_answer = on_answer
        self.result: StepResponse | UnrollError | None = result
        self.item: StepItem | None = None  # while it has no result


class StepStream:
    """Stream of the steps of one session. They are applied and answered in their order, up to the first that fails.

    No step behind a failed one is applied: each is answered with an error whose `applied` is "no". `failure` is the
    error of the first failed step. Use it within the event loop.
    """

    __slots__ = ("_ending", "_pipeline", "_steps", "failure")

    def __init__(self, pipeline: StepPipeline) -> None:
        self.failure: UnrollError | None = None
        self._pipeline = pipeline
        self._steps: list[_StreamedStep] = []  # a list, as most streams have one step at a time
        self._ending = False

    def __len__(self) -> int:
        """The number of steps that are not answered."""
        return len(self._steps)

    def push(self, context: RequestContext, step: Step, on_answer: OnAnswer) -> None:
        """Apply a step behind the others; `on_answer` is called with its answer, perhaps at once."""
        if self.failure is not None:
            self.refuse(not_run(self.failure), on_answer)
            return
        streamed = _StreamedStep(on_answer)
        self._steps.append(streamed)
        session, identity = (context.tenant, step.session_id), step.identity()
        on_result = partial(self._on_result, streamed)
        models = context.principal.models
        streamed.item = StepItem(
            session, step.operation, identity, context.deadline, context.cost, on_result, models=models
        )
        self._pipeline.admit(streamed.item)

    def refuse(self, error: UnrollError, on_answer: OnAnswer) -> None:
        """Answer a step that cannot run with `error`, behind the others. The stream fails with it."""
        self.failure = self.failure or error
        self._steps.append(_StreamedStep(on_answer, error))
        self._flush()

    def abandon(self, message: str, *, counted: bool) -> None:
        """End all steps that are not answered: nobody waits for them, or this worker stops."""
        self._ending = True
        for streamed in self._steps[:]:
            if streamed.item is not None:
                error = ShuttingDown(message, applied=streamed.item.applied)
                self._pipeline.abandon(streamed.item, error, counted=counted)

    def _on_result(self, streamed: _StreamedStep) -> None:
        assert streamed.item is not None  # noqa: S101 - `push` has set it
        streamed.result = result = streamed.item.result
        streamed.item = None  # each has a reference to the other
        if isinstance(result, UnrollError) and not self._ending:
            self._end_behind(streamed, result)
        self._flush()

    def _end_behind(self, failed: _StreamedStep, error: UnrollError) -> None:
        """End the steps behind one that failed, before the turn of the next one comes."""
        self.failure = self.failure or error
        self._ending = True
        for streamed in self._steps[self._steps.index(failed) + 1 :]:
            if streamed.item is not None:
                self._pipeline.abandon(streamed.item, not_run(error), counted=True)
        self._ending = False

    def _flush(self) -> None:
        """Answer the steps at the head of the queue that have a result."""
        steps = self._steps
        while steps and (result := steps[0].result) is not None:
            steps.pop(0).on_answer(result)


def not_run(failure: UnrollError) -> UnrollError:
    """Return the error of a step behind one that failed: the same one, with a message that says so."""
    message = f"the step was not run, as an earlier one of this stream failed: {failure.code}"
    return failure.with_message(message, None).with_applied("no")
