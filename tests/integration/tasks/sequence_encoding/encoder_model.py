"""Small sequence encoders for tests, with the trainers that wrote them, and helpers for their requests."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from service.domain.errors import InvalidRequest
from service.domain.operations import Input, Operation, Outcome, Predict, PredictOptions, SeriesInput, TextInput
from service.engine.runner import run_operation, run_to_completion
from service.tasks.architectures import load_task
from service.tasks.limits import TextLimits
from tests.encoder_folders import EncoderTrainer, read_trainer, write_encoder


class Model:
    """A task and the trainer that wrote its folder."""

    def __init__(self, root: Path, task: str, *, dtype: Any = None, name: str = "model", **settings: Any) -> None:
        self.folder = write_encoder(root, name, task, **settings)
        self.trainer: EncoderTrainer = read_trainer(self.folder)
        self.checkpoint, self.task = load_task(self.folder, TextLimits(input_tokens=50), dtype)

    def run(self, operation: Operation, state: bytes | None = None) -> Outcome:
        return run_operation(self.task, operation, self._state(state))

    def _state(self, state: bytes | None) -> Any:
        return self.task.initial_state if state is None else self.task.state_codec.from_bytes(state)

    def feed(
        self, inputs: Sequence[Any] | None, state: bytes | None = None, target: Any = None, **options: Any
    ) -> Outcome:
        """Feed ids or rows."""
        return self.run(predict(inputs, target, **options), state)

    def together(self, requests: Sequence[tuple[Sequence[Any], bytes | None]], **options: Any) -> list[Outcome]:
        """Run several operations in the same passes."""
        started = [self.task.start(predict(inputs, **options), self._state(state)) for inputs, state in requests]
        return run_to_completion(self.task, started)


def predict(inputs: Sequence[Any] | None, target: Any = None, **options: Any) -> Predict:
    """Return a prediction for ids or rows."""
    return Predict(to_input(inputs, target), PredictOptions(**options, given=frozenset(options)))


def to_input(inputs: Sequence[Any] | None, target: Any = None) -> Input | None:
    if inputs is None:
        return None
    if isinstance(inputs[0], int):
        return TextInput(ids=tuple(inputs), target=target)
    return SeriesInput(tuple(map(tuple, inputs)), target=target)


def refusal(model: Model, inputs: Any, state: bytes | None = None, target: Any = None, **options: Any) -> str:
    """Return field and message of the error for a request."""
    with pytest.raises(InvalidRequest) as caught:
        model.feed(inputs, state, target, **options)
    return f"{caught.value.param} | {caught.value.message}"
