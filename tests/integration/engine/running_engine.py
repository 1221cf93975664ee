"""A running engine over the models of a registry."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from service.application.token_stream import TokenBuffer
from service.domain.models import ModelVersion
from service.domain.operations import Operation, Outcome
from service.engine.engine import BatchingEngine
from service.engine.loaded_models import LoadedModel, ModelRegistry
from service.tasks.base import Task
from tests.fakes import CountingObserver, ManualClock
from tests.server import Body


class RunningEngine:
    """An engine with its clock and observer; it runs inside an `async with` block."""

    def __init__(self, registry: ModelRegistry, max_batch: int = 8, max_queue: int = 1000) -> None:
        self.clock, self.observer = ManualClock(), CountingObserver()
        self.engine = BatchingEngine(
            registry, self.observer, self.clock.monotonic, max_batch=max_batch, max_queue=max_queue
        )
        self.first: ModelVersion = registry.versions()[0]
        self.last: ModelVersion = registry.versions()[-1]

    async def __aenter__(self) -> Self:
        self.engine.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.engine.stop()

    async def output(self, model: ModelVersion, operation: Operation) -> Body:
        """Run an operation without a state and return its output."""
        return (await self.run(model, operation)).output

    async def run(
        self,
        model: ModelVersion,
        operation: Operation,
        state: bytes | None = None,
        deadline: float | None = None,
        client: str = "client",
        receiver: TokenBuffer | None = None,
    ) -> Outcome:
        """Run an operation and return its outcome, or raise its failure."""
        job = AwaitedJob(asyncio.get_running_loop().create_future(), deadline, client, receiver)
        self.engine.submit(model, operation, state, job, deliver)
        return await job.outcome

    def passes(self) -> int:
        """Return the number of forward passes so far."""
        return sum(count for kind, count in self.observer.counts.items() if kind.startswith("batch "))


@dataclass(slots=True, eq=False)
class AwaitedJob:
    """A job that awaits its outcome."""

    outcome: asyncio.Future[Outcome]
    deadline: float | None
    client: str
    receiver: TokenBuffer | None = None
    trace: None = None

    def abandoned(self) -> bool:
        return self.outcome.done()


def deliver(results: Sequence[tuple[AwaitedJob, Outcome | Exception]]) -> None:
    for job, result in results:
        if isinstance(result, Exception):
            job.outcome.set_exception(result)
        else:
            job.outcome.set_result(result)


def registry_with_task(loaded: LoadedModel, task_class: type[Task[Any, Any, Any]]) -> ModelRegistry:
    """Return a registry of one loaded model whose task is of another class, over the same network."""
    task = object.__new__(task_class)
    task.__dict__.update(loaded.task.__dict__)
    return ModelRegistry([LoadedModel(loaded.version, task)])
