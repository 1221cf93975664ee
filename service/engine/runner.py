"""Runs operations timestep by timestep: one timestep of a batch for the engine, or to completion without a server."""

from collections.abc import Sequence
from typing import Any

import torch

from service.domain.operations import Operation, Outcome
from service.tasks.base import AnyTask, OperationT, RunningOperation


def run_timestep(task: AnyTask, batch: list[OperationT]) -> list[Exception | None]:
    """Advance every operation of `batch` by one timestep; return the failure of each, or None.

    If the shared forward pass fails, each operation runs alone, so that only the one that causes the failure fails.
    """
    with torch.inference_mode():
        try:
            step_outputs = task.forward(batch)
        except Exception as error:  # noqa: BLE001 - whatever one operation caused must not reach the others
            if len(batch) == 1:
                return [error]
            return [run_timestep(task, [operation])[0] for operation in batch]
        return [_update(operation, output) for operation, output in zip(batch, step_outputs, strict=True)]


def _update(operation: RunningOperation, step_output: object) -> Exception | None:
    try:
        operation.update(step_output)
    except Exception as error:  # noqa: BLE001 - likewise
        return error
    return None


def outcome_of(task: AnyTask, operation: RunningOperation) -> Outcome:
    """Return the outcome of a finished operation, with its state encoded."""
    return operation.outcome(b"" if operation.state is None else task.state_codec.to_bytes(operation.state))


def run_to_completion(task: AnyTask, operations: Sequence[RunningOperation]) -> list[Outcome]:
    """Run started operations until all are finished, sharing their timesteps; return their outcomes in order.

    Raises the first failure.
    """
    while unfinished := [operation for operation in operations if not operation.finished]:
        for failure in run_timestep(task, unfinished):
            if failure is not None:
                raise failure
    return [outcome_of(task, operation) for operation in operations]


def run_operation(task: AnyTask, operation: Operation, state: Any) -> Outcome:  # noqa: ANN401 - each task has its own type
    """Run one operation from `state` to completion. Raises InvalidRequest, or whatever the operation failed with."""
    return run_to_completion(task, [task.start(operation, state)])[0]
