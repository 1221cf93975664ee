"""Runs one timestep of a batch; a member that fails, fails alone."""

from typing import Protocol

import torch
from torch import Tensor

from service.tasks.layout import StateLayout
from service.tasks.sequences import Row, TextSequence
from service.types import Operation


class Task(Protocol):
    """What the engine needs of a task."""

    layout: StateLayout

    @property
    def initial_state(self) -> Tensor:
        """State 0, flat (total,)."""

    def start(self, operation: Operation, state: Tensor) -> TextSequence:
        """Check and encode an operation. Raises InvalidRequest and its kinds."""

    def forward(self, batch: list[TextSequence]) -> list[Row]:
        """Run one timestep for all of `batch` without changing any of them."""


def run_timestep(task: Task, batch: list[TextSequence]) -> list[Exception | None]:
    """Advance every sequence of `batch` by one timestep; returns each one's failure, or None.

    When the shared forward pass fails, each member runs alone, so that only the guilty one fails.
    """
    with torch.inference_mode():
        try:
            rows = task.forward(batch)
        except Exception as error:  # noqa: BLE001 - whatever one member caused must not reach the others
            if len(batch) == 1:
                return [error]
            return [run_timestep(task, [sequence])[0] for sequence in batch]
        return [_deliver(sequence, row) for sequence, row in zip(batch, rows, strict=True)]


def _deliver(sequence: TextSequence, row: Row) -> Exception | None:
    try:
        sequence.receive(row)
    except Exception as error:  # noqa: BLE001 - likewise
        return error
    return None
