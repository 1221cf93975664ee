"""Answers of tagging: the tag of each new timestep and its probability."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np

from service.domain.errors import InvalidRequest
from service.domain.operations import Json, Operation, Predict
from service.domain.tensors import Tensor, TensorSpec, make_tensor
from service.nets.config.task_outputs import TaskOutputs
from service.nets.forecast_inputs.scaling import Numbers
from service.nets.layers.crf import Crf
from service.tasks.base import NUMBERS_PER_ROW
from service.tasks.numbers import round_digits
from service.tasks.options import convert_options
from service.tasks.sequence_encoding.answers import Answer
from service.tasks.sequence_encoding.inputs import EncodedSequence
from service.tasks.sequence_encoding.probabilities import log_softmax
from service.tasks.sequence_encoding.targets import compare_labels, read_labels
from service.tasks.tensor_interface import pack_floats

LABELS: Final = "LABELS"
PROBABILITIES: Final = "PROBABILITIES"


class TaggingNetwork(Protocol):
    """The part of a network that chooses all tags of a sequence together, if it has one."""

    @property
    def crf(self) -> Crf | None: ...


@dataclass(frozen=True, slots=True)
class TaggingOptions:
    """An answer has no options."""


class Tagging:
    """Tagging with the labels of a configuration, by the CRF of the network if it has one."""

    name = "tagging"
    tensor_specs = (TensorSpec(LABELS, "BYTES", (-1, -1)), TensorSpec(PROBABILITIES, "FP32", (-1, -1)))

    def __init__(self, config: TaskOutputs, network: TaggingNetwork) -> None:
        self._labels = config.labels
        self._crf = network.crf
        self._indices = {label: index for index, label in enumerate(config.labels)}

    def start(self, operation: Predict, sequence: EncodedSequence) -> "TagMaker":
        """Return the maker of an answer. Raises InvalidRequest for an option or a target that does not fit."""
        convert_options(operation.options, TaggingOptions, self.name)
        target = None if sequence.target is None else read_labels(sequence.target, self._indices)
        if target is not None and len(target) != len(sequence):
            raise InvalidRequest(
                f"input.target has {len(target)} labels: expected {len(sequence)}, one for each timestep",
                param="input.target",
            )
        return TagMaker(self._labels, self._crf, sequence.tokens, len(sequence), target)

    def numbers(self, operation: Operation, timesteps: int) -> int:  # noqa: ARG002 - there are no options
        """Return the largest number of numbers and tokens in an answer."""
        return 3 * timesteps

    def tensors(self, answers: Sequence[Mapping[str, Any]], outputs: Sequence[str]) -> list[Tensor]:
        """Return the named output tensors; shorter rows are filled up with empty labels and zeros."""
        rows = [answer["tags"] for answer in answers]
        shape = (len(rows), max(map(len, rows)))
        gaps = [shape[1] - len(row) for row in rows]
        labels = [label for row, gap in zip(rows, gaps, strict=True) for label in [*_of(row, "tag"), *[""] * gap]]
        values = [v for row, gap in zip(rows, gaps, strict=True) for v in [*_of(row, "probability"), *[0.0] * gap]]
        made = {
            LABELS: lambda: make_tensor(LABELS, "BYTES", shape, [label.encode() for label in labels]),
            PROBABILITIES: lambda: pack_floats(PROBABILITIES, shape, values),
        }
        return [made[name]() for name in outputs]


def _of(row: Sequence[Mapping[str, Any]], field: str) -> list[Any]:
    return [tag[field] for tag in row]


@dataclass(frozen=True, slots=True)
class TagMaker:
    """Maker of an answer: the tag of each timestep, and how probable the labels `target` were."""

    labels: list[str]
    crf: Crf | None
    tokens: list[str] | None
    timesteps: int
    target: list[int] | None

    every = True

    @property
    def cost(self) -> int:
        """The cost of the answer, by its numbers; a CRF compares all pairs of labels at each timestep."""
        pairs = 0 if self.crf is None else len(self.labels) ** 2
        return self.timesteps * (len(self.labels) + pairs) // (8 * NUMBERS_PER_ROW)

    def answer(self, outputs: Numbers) -> Answer:
        """Return the answer for logits (m, L) of every timestep."""
        if not len(outputs):
            return Answer({"tags": []})
        if self.crf is None:
            chosen, logprobs = outputs.argmax(1).tolist(), log_softmax(outputs)
        else:
            chosen, logprobs = self.crf.decode(outputs), self.crf.marginals(outputs)
        probabilities = np.exp(np.minimum(logprobs[np.arange(len(chosen)), chosen], 0.0)).tolist()
        tags: list[Json] = [
            {**self._token(index), "tag": self.labels[tag], "probability": round_digits(probability)}
            for index, (tag, probability) in enumerate(zip(chosen, probabilities, strict=True))
        ]
        output: dict[str, Json] = {"tags": tags}
        if self.target is None:
            return Answer(output)
        own = np.minimum(logprobs[np.arange(len(chosen)), self.target], 0.0)
        correct = sum(tag == target for tag, target in zip(chosen, self.target, strict=True))
        return compare_labels(output, own.tolist(), correct)

    def _token(self, index: int) -> dict[str, Json]:
        return {} if self.tokens is None else {"token": self.tokens[index]}
