"""Answers of embedding: the vector of a sequence, or of each of its new timesteps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from service.domain.errors import InvalidRequest
from service.domain.operations import Json, Operation, Predict, PredictOptions
from service.domain.tensors import Tensor, TensorSpec
from service.nets.config.task_outputs import TaskOutputs
from service.nets.forecast_inputs.scaling import Numbers
from service.tasks.base import NUMBERS_PER_ROW
from service.tasks.numbers import round_to_scale
from service.tasks.sequence_encoding.answers import Answer
from service.tasks.sequence_encoding.every import read_every
from service.tasks.sequence_encoding.inputs import EncodedSequence
from service.tasks.tensor_interface import pack_floats

EMBEDDING: Final = "EMBEDDING"
VECTOR: Final = "embedding"


class Embedding:
    """Embedding of sequences as vectors of the features of a configuration."""

    name = "embedding"

    def __init__(self, config: TaskOutputs, _network: object = None) -> None:
        self._config = config
        self._width = config.outputs_size
        self.tensor_specs = (TensorSpec(EMBEDDING, "FP32", (-1, -1, self._width)),)

    def start(self, operation: Predict, sequence: EncodedSequence) -> "VectorMaker":
        """Return the maker of an answer. Raises InvalidRequest for an option or a target."""
        if sequence.target is not None:
            raise InvalidRequest(
                "input.target is given: expected none, since nothing can be compared with an embedding",
                param="input.target",
            )
        steps = read_every(operation.options, self._config, self.name, len(sequence))
        every = steps and operation.options.every is not None  # by default a sequence has one vector
        return VectorMaker(every, self._width * (len(sequence) if every else 1))

    def numbers(self, operation: Operation, timesteps: int) -> int:
        """Return the largest number of numbers in an answer."""
        options = operation.options if isinstance(operation, Predict) else PredictOptions()
        return self._width * (timesteps if options.every == "step" else 1)

    def tensors(self, answers: Sequence[Mapping[str, Any]], outputs: Sequence[str]) -> list[Tensor]:
        """Return the named output tensors; answers of fewer timesteps than others are filled up with zeros."""
        rows = [np.array(answer[VECTOR], np.float64).reshape(-1, self._width) for answer in answers]
        filled = np.zeros((len(rows), max(map(len, rows)), self._width))
        for index, own in enumerate(rows):
            filled[index, : len(own)] = own
        return [pack_floats(EMBEDDING, filled.shape, filled.ravel().tolist()) for _ in outputs]


@dataclass(frozen=True, slots=True)
class VectorMaker:
    """Maker of an answer of so many numbers."""

    every: bool
    count: int

    @property
    def cost(self) -> int:
        """The cost of the answer, by its numbers."""
        return self.count // NUMBERS_PER_ROW

    def answer(self, outputs: Numbers) -> Answer:
        """Return the answer for features (m, D)."""
        vectors: list[Json] = round_to_scale(outputs, np.ones(())).tolist()
        return Answer({VECTOR: vectors if self.every else vectors[-1]})
