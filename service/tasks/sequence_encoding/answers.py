"""Interfaces between a sequence encoder and the task that its outputs are for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from service.domain.operations import ForecastCheck, Json, Observation, Operation, Predict
from service.domain.tensors import Tensor, TensorSpec
from service.nets.forecast_inputs.scaling import Numbers
from service.tasks.sequence_encoding.inputs import EncodedSequence

#: How well an answer was, for the metrics; None if the client did not send a target.
Check: TypeAlias = Observation | ForecastCheck | None


@dataclass(frozen=True, slots=True)
class Answer:
    """The JSON output of an operation, and the comparison of it with the target."""

    output: dict[str, Json]
    check: Check = None


class AnswerMaker(Protocol):
    """Maker of the answer of one operation from the outputs of the network."""

    @property
    def every(self) -> bool:
        """Whether outputs of every timestep are needed; else those of the last one."""

    @property
    def cost(self) -> int:
        """The cost of `answer`, in the unit of `RunningOperation.outcome_cost`."""

    def answer(self, outputs: Numbers) -> Answer:
        """Return the answer for outputs (m, K), of every new timestep or of the last one."""


class OutputTask(Protocol):
    """A task of sequence encoders: its requests, answers and output tensors."""

    @property
    def tensor_specs(self) -> tuple[TensorSpec, ...]:
        """The output tensors."""

    def start(self, operation: Predict, sequence: EncodedSequence) -> AnswerMaker:
        """Return the maker of an answer. Raises InvalidRequest for an option or a target that does not fit."""

    def numbers(self, operation: Operation, timesteps: int) -> int:
        """Return the largest number of numbers and tokens in the answer to an operation of so many timesteps."""

    def tensors(self, answers: Sequence[Mapping[str, Any]], outputs: Sequence[str]) -> list[Tensor]:
        """Return the named output tensors, given the JSON output of each row."""
