"""Answers of regression: numbers in their own units, for the last timestep or for every new one."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

import numpy as np

from service.domain.operations import ForecastCheck, Json, Operation, Predict
from service.domain.tensors import Tensor, TensorSpec
from service.nets.config.task_outputs import TaskOutputs
from service.nets.forecast_inputs.scaling import Numbers
from service.tasks.base import NUMBERS_PER_ROW
from service.tasks.numbers import round_digits, round_to_scale
from service.tasks.sequence_encoding.answers import Answer
from service.tasks.sequence_encoding.every import read_every
from service.tasks.sequence_encoding.inputs import EncodedSequence
from service.tasks.sequence_encoding.probabilities import log_sigmoid
from service.tasks.sequence_encoding.targets import read_numbers
from service.tasks.tensor_interface import pack_floats

VALUES: Final = "VALUES"
ACTIVATIONS: Final[dict[str, Callable[[Numbers], Numbers]]] = {
    "none": lambda values: values,
    "sigmoid": lambda values: np.exp(log_sigmoid(values)),
    "softplus": lambda values: -log_sigmoid(-values),
}


class Regression:
    """Regression of the names of a configuration."""

    name = "regression"

    def __init__(self, config: TaskOutputs, _network: object = None) -> None:
        self._config = config
        self._names = config.names
        self._mean, self._scale = np.array(config.means), np.array(config.scales)
        self._activation = ACTIVATIONS[config.activation]
        self.tensor_specs = (TensorSpec(VALUES, "FP32", (-1, -1, len(self._names))),)

    def start(self, operation: Predict, sequence: EncodedSequence) -> "ValueMaker":
        """Return the maker of an answer. Raises InvalidRequest for an option or a target that does not fit."""
        every = read_every(operation.options, self._config, self.name, len(sequence))
        rows = len(sequence) if every else 1
        target = None if sequence.target is None else read_numbers(sequence.target, len(self._names), rows)
        return ValueMaker(self, target, rows * len(self._names), every)

    def numbers(self, operation: Operation, timesteps: int) -> int:  # noqa: ARG002 - any of them may be asked for
        """Return the largest number of numbers in an answer."""
        return len(self._names) * max(1, timesteps)

    def tensors(self, answers: Sequence[Mapping[str, Any]], outputs: Sequence[str]) -> list[Tensor]:
        """Return the named output tensors; answers of fewer timesteps than others are filled up with NaN."""
        rows = [answer["values"] for answer in answers]
        width, length = len(self._names), max(map(len, rows))
        filler = [float("nan")] * width
        flat = chain.from_iterable(chain.from_iterable([*own, *[filler] * (length - len(own))] for own in rows))
        return [pack_floats(VALUES, (len(rows), length, width), [*flat]) for _ in outputs]

    def answer(self, outputs: Numbers, target: Numbers | None) -> Answer:
        """Return the answer for outputs (m, K) of the network."""
        values = self._activation(outputs) * self._scale + self._mean
        rounded: list[Json] = round_to_scale(values, self._scale).tolist()
        output: dict[str, Json] = {"names": [*self._names], "values": rounded}
        if target is None:
            return Answer(output)
        errors = np.abs(values - target)
        known = ~np.isnan(errors)
        count, total = int(known.sum()), float(errors[known].sum())
        output["observed"] = {"mean_absolute_error": round_digits(total / count)} if count else None
        return Answer(output, ForecastCheck(count, total, ()))


@dataclass(frozen=True, slots=True)
class ValueMaker:
    """Maker of an answer of so many numbers, which is compared with `target` (m, K)."""

    regression: Regression
    target: Numbers | None
    count: int
    every: bool

    @property
    def cost(self) -> int:
        """The cost of the answer, by its numbers."""
        return self.count // NUMBERS_PER_ROW

    def answer(self, outputs: Numbers) -> Answer:
        """Return the answer for outputs (m, K)."""
        return self.regression.answer(outputs, self.target)
