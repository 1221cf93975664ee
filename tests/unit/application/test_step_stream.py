"""Steps of one session that do not wait for each other: answered in order, and none behind one that failed is run."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

from service.application.request_context import RequestContext
from service.application.sessions.serializers import StepResponse
from service.application.sessions.step_item import Step, StepItem
from service.application.sessions.step_pipeline import StepPipeline
from service.application.sessions.step_stream import StepStream
from service.domain.errors import DeadlineExceeded, Overloaded, StepConflict, UnrollError
from service.domain.operations import Predict, TextInput

STEP = Step("ses_x", Predict(TextInput("the")))


@dataclass
class Pipeline:
    """Takes steps, and ends them when the test says so."""

    items: list[StepItem] = field(default_factory=list)
    counted: list[bool] = field(default_factory=list)
    admitted: Callable[[StepItem], object] = lambda _: None

    def admit(self, item: StepItem) -> None:
        self.items.append(item)
        self.admitted(item)

    def abandon(self, item: StepItem, error: UnrollError, *, counted: bool) -> None:
        if item.settle(error):
            self.counted.append(counted)


class Answers(list[tuple[int, str]]):
    """The answers in the order in which they came: number of the step, and body or code."""

    def of(self, number: int) -> Callable[[StepResponse | UnrollError], None]:
        def note(result: StepResponse | UnrollError) -> None:
            if isinstance(result, UnrollError):
                assert result.applied is not None
                self.append((number, f"{result.code} {result.applied}"))
            else:
                self.append((number, result.body.decode()))

        return note


def pushed(count: int) -> tuple[StepStream, Pipeline, Answers]:
    """A stream with so many steps under way."""
    pipeline, answers = Pipeline(), Answers()
    stream = StepStream(cast("StepPipeline", pipeline))
    for number in range(count):
        stream.push(context(), STEP, answers.of(number))
    return stream, pipeline, answers


def context() -> RequestContext:
    return RequestContext("tenant", cast("object", None))  # type: ignore[arg-type]  # no step looks at its deadline


async def test_answers_come_in_the_order_of_the_steps() -> None:
    stream, pipeline, answers = pushed(3)
    for number in (1, 2, 0):
        pipeline.items[number].settle(StepResponse(b"%d" % number))
    assert answers == [(0, "0"), (1, "1"), (2, "2")]
    assert len(stream) == 0


async def test_steps_behind_one_that_failed_are_ended_at_once_and_those_before_it_are_not() -> None:
    stream, pipeline, answers = pushed(4)
    pipeline.items[1].settle(StepConflict("no", applied="no", step=7))
    assert [item.result is None for item in pipeline.items] == [True, False, False, False]
    assert answers == []
    pipeline.items[0].settle(StepResponse(b"0"))
    assert answers == [(0, "0"), (1, "step_conflict no"), (2, "step_conflict no"), (3, "step_conflict no")]
    assert pipeline.counted == [True, True]
    stream.push(context(), STEP, answers.of(4))
    assert answers[-1] == (4, "step_conflict no")
    assert len(pipeline.items) == 4


async def test_a_step_that_may_have_taken_effect_ends_the_stream_all_the_same() -> None:
    _, pipeline, answers = pushed(2)
    pipeline.items[0].settle(DeadlineExceeded("late", applied="unknown"))
    assert answers == [(0, "deadline_exceeded unknown"), (1, "deadline_exceeded no")]


async def test_a_second_failure_ends_what_is_between_it_and_the_first() -> None:
    stream, pipeline, answers = pushed(3)
    stream.refuse(Overloaded("full", applied="no"), answers.of(3))
    assert answers == []
    pipeline.items[0].settle(DeadlineExceeded("late", applied="no"))
    assert [number for number, _ in answers] == [0, 1, 2, 3]
    assert answers[2] == (2, "deadline_exceeded no")


async def test_a_step_that_fails_while_it_is_admitted_is_answered() -> None:
    pipeline, answers = Pipeline(), Answers()
    pipeline.admitted = lambda item: item.settle(Overloaded("full", applied="no"))
    stream = StepStream(cast("StepPipeline", pipeline))
    stream.push(context(), STEP, answers.of(0))
    assert answers == [(0, "overloaded no")]
    assert stream.failure is not None


async def test_hundreds_of_steps_are_ended_without_recursion() -> None:
    _, pipeline, answers = pushed(2000)
    pipeline.items[0].settle(Overloaded("full", applied="no"))
    assert [number for number, _ in answers] == list(range(2000))


async def test_an_abandoned_stream_tells_of_each_step_whether_it_was_applied() -> None:
    stream, pipeline, answers = pushed(3)
    pipeline.items[0].applied = "unknown"
    stream.abandon("the worker stops", counted=False)
    await asyncio.sleep(0)
    assert answers == [(0, "shutting_down unknown"), (1, "shutting_down no"), (2, "shutting_down no")]
    assert pipeline.counted == [False] * 3
