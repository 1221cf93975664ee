"""Runs operations to their ends without a server, many of them in the passes that a server would run."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from service.domain.errors import InvalidRequest
from service.domain.operations import Operation, Outcome
from service.tasks.base import AnyTask, RunningOperation

#: Operations that share the forward passes.
BATCH = 64


@dataclass(frozen=True, slots=True)
class LocatedOperation:
    """An operation, and the place in a file that it comes from."""

    place: str
    operation: Operation


def answers(task: AnyTask, asked: Sequence[LocatedOperation]) -> Iterator[Outcome]:
    """Yield what each operation gives from state 0, in order. Raises InvalidRequest naming the place of a bad one."""
    for begin in range(0, len(asked), BATCH):
        yield from finish(task, [_start(task, one) for one in asked[begin : begin + BATCH]])


def _start(task: AnyTask, asked: LocatedOperation) -> RunningOperation:
    try:
        started: RunningOperation = task.start(asked.operation, task.initial_state)
    except InvalidRequest as error:
        raise InvalidRequest(f"{asked.place}: {error}") from error
    return started


@torch.inference_mode()
def finish(task: AnyTask, started: Sequence[RunningOperation]) -> list[Outcome]:
    """Run operations to their ends, and return what each gives, without its state as bytes."""
    while waiting := [one for one in started if not one.finished]:
        for one, share in zip(waiting, task.forward(waiting), strict=True):
            one.update(share)
    return [one.outcome(b"") for one in started]
