"""Runs one timestep of a batch; a member that fails, fails alone."""

from typing import TypeVar

import torch

from service.domain.operations import Outcome
from service.tasks.base import AnyTask, RunningOperation

Q = TypeVar("Q", bound=RunningOperation)


def run_timestep(task: AnyTask, batch: list[Q]) -> list[Exception | None]:
    """Advance every sequence of `batch` by one timestep; returns each one's failure, or None.

    When the shared forward pass fails, each member runs alone, so that only the guilty one fails.
    """
    with torch.inference_mode():
        try:
            shares = task.forward(batch)
        except Exception as error:  # noqa: BLE001 - whatever one member caused must not reach the others
            if len(batch) == 1:
                return [error]
            return [run_timestep(task, [sequence])[0] for sequence in batch]
        return [_deliver(sequence, share) for sequence, share in zip(batch, shares, strict=True)]


def _deliver(sequence: RunningOperation, share: object) -> Exception | None:
    try:
        sequence.update(share)
    except Exception as error:  # noqa: BLE001 - likewise
        return error
    return None


def outcome_of(task: AnyTask, sequence: RunningOperation) -> Outcome:
    """Return the outcome of a finished sequence."""
    return sequence.outcome(b"" if sequence.state is None else task.state_codec.to_bytes(sequence.state))
