"""Running of the operations of a file, many of them in each forward pass."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from service.domain.errors import InvalidRequest
from service.domain.operations import Operation, Outcome
from service.engine.runner import run_to_completion
from service.tasks.base import AnyTask, RunningOperation

#: The number of operations that share forward passes.
BATCH = 64


@dataclass(frozen=True, slots=True)
class LocatedOperation:
    """An operation, and the place in a file that it comes from."""

    place: str
    operation: Operation


def run_all(task: AnyTask, operations: Sequence[LocatedOperation]) -> Iterator[Outcome]:
    """Yield the outcome of each operation from the initial state, in order.

    Raises InvalidRequest with the place of an operation that the task refuses.
    """
    for begin in range(0, len(operations), BATCH):
        yield from run_to_completion(task, [_start(task, item) for item in operations[begin : begin + BATCH]])


def _start(task: AnyTask, located: LocatedOperation) -> RunningOperation:
    try:
        operation: RunningOperation = task.start(located.operation, task.initial_state)
    except InvalidRequest as error:
        raise InvalidRequest(f"{located.place}: {error}") from error
    return operation
