"""Answers of classification: labels with their probabilities, most probable first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

import numpy as np

from service.domain.operations import Infer, Json, Operation, Predict, PredictOptions, Target
from service.domain.tensors import Tensor, TensorSpec, make_tensor
from service.nets.config.task_outputs import TaskOutputs
from service.nets.forecast_inputs.scaling import Numbers
from service.tasks.numbers import round_digits
from service.tasks.options import convert_options
from service.tasks.sequence_encoding.answers import Answer
from service.tasks.sequence_encoding.inputs import EncodedSequence
from service.tasks.sequence_encoding.probabilities import log_sigmoid, log_softmax
from service.tasks.sequence_encoding.targets import compare_labels, read_label, read_labels
from service.tasks.tensor_interface import pack_floats

PROBABILITIES: Final = "PROBABILITIES"
LABELS: Final = "LABELS"
#: The most labels of an answer, those that an answer without `top_k` has.
MAX_LABELS: Final = 100


@dataclass(frozen=True, slots=True)
class ClassificationOptions:
    """The options of an answer: the number of labels to list."""

    top_k: int = 5


class Classification:
    """Classification by the labels of a configuration; by several at once if `multi_label` is true."""

    name = "classification"

    def __init__(self, config: TaskOutputs, _network: object = None) -> None:
        self._labels = config.labels
        self._multi_label = config.multi_label
        self._indices = {label: index for index, label in enumerate(config.labels)}
        self.tensor_specs = (
            TensorSpec(PROBABILITIES, "FP32", (-1, len(self._labels))),
            TensorSpec(LABELS, "BYTES", (-1, -1)),
        )

    def start(self, operation: Predict, sequence: EncodedSequence) -> "LabelMaker":
        """Return the maker of an answer. Raises InvalidRequest for an option or a target that does not fit."""
        options = convert_options(operation.options, ClassificationOptions, self.name)
        top_k = _top_k(operation.options, options.top_k, len(self._labels))
        target = None if sequence.target is None else self._read_target(sequence.target)
        every = isinstance(operation, Infer) and PROBABILITIES in operation.outputs
        return LabelMaker(self._labels, self._multi_label, top_k, target, with_probabilities=every)

    def _read_target(self, target: Target) -> list[int]:
        if self._multi_label and not isinstance(target, str):
            return read_labels(target, self._indices)
        return [read_label(target, self._indices)]

    def numbers(self, operation: Operation, timesteps: int) -> int:  # noqa: ARG002 - an answer has no timesteps
        """Return the largest number of numbers and tokens in an answer."""
        count = len(self._labels)
        every = isinstance(operation, Infer) and PROBABILITIES in operation.outputs
        return 2 * min(count, MAX_LABELS) + (count if every else 0)

    def tensors(self, answers: Sequence[Mapping[str, Any]], outputs: Sequence[str]) -> list[Tensor]:
        """Return the named output tensors, given the JSON output of each row."""
        return [self._probabilities(answers) if name == PROBABILITIES else _labels(answers) for name in outputs]

    def _probabilities(self, answers: Sequence[Mapping[str, Any]]) -> Tensor:
        rows = [answer["probabilities"] for answer in answers]
        return pack_floats(PROBABILITIES, (len(rows), len(self._labels)), [*chain.from_iterable(rows)])


@dataclass(frozen=True, slots=True)
class LabelMaker:
    """Maker of an answer: the `top_k` most probable labels, and how probable the labels `target` were."""

    labels: list[str]
    multi_label: bool
    top_k: int
    target: list[int] | None
    with_probabilities: bool

    every = False
    cost = 0

    def answer(self, outputs: Numbers) -> Answer:
        """Return the answer for logits (1, L)."""
        logits = outputs[-1]
        logprobs = log_sigmoid(logits) if self.multi_label else log_softmax(logits)
        best = (-logprobs).argsort(kind="stable")[: self.top_k]
        probabilities = np.exp(logprobs[best]).tolist()
        labels: list[Json] = [
            {"label": self.labels[index], "probability": round_digits(probability)}
            for index, probability in zip(best.tolist(), probabilities, strict=True)
        ]
        output: dict[str, Json] = {"labels": labels}
        if self.with_probabilities:
            output["probabilities"] = np.exp(logprobs).astype(np.float32).tolist()
        return Answer(output) if self.target is None else self._compared(output, logits, logprobs, self.target)

    def _compared(self, output: dict[str, Json], logits: Numbers, logprobs: Numbers, target: list[int]) -> Answer:
        """Compare the answer with its target: with the label, or of several labels each with whether it applied."""
        if not self.multi_label:
            return compare_labels(output, [float(logprobs[target[0]])], int(logits.argmax() == target[0]))
        applied = np.zeros(len(logits), bool)
        applied[target] = True
        own = log_sigmoid(np.where(applied, logits, -logits))
        return compare_labels(output, own.tolist(), int(((logits > 0) == applied).sum()))


def _top_k(options: PredictOptions, top_k: int, labels: int) -> int:
    """Return how many labels to list: those that the client asks for, else as many as there are."""
    asked = "top_k" in options.given or options.top_k != PredictOptions().top_k
    return min(labels, top_k if asked else MAX_LABELS)


def _labels(answers: Sequence[Mapping[str, Any]]) -> Tensor:
    rows = [[entry["label"].encode() for entry in answer["labels"]] for answer in answers]
    return make_tensor(LABELS, "BYTES", (len(rows), len(rows[0])), [*chain.from_iterable(rows)])
