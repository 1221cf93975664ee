"""Tensors of the Open Inference Protocol of sequence encoders: token ids, text or values in, those of the task out."""

from collections.abc import Mapping, Sequence
from typing import Any

from service.domain.operations import Infer, PredictOptions
from service.domain.tensors import Tensor, TensorSpec
from service.tasks.sequence_encoding.answers import OutputTask
from service.tasks.sequence_encoding.inputs import InputReader


class EncoderTensors:
    """Tensors of a sequence encoder."""

    unlisted_inputs: tuple[TensorSpec, ...] = ()
    opening_inputs: tuple[str, ...] = ()

    def __init__(self, reader: InputReader, outputs: OutputTask, *, has_sequences: bool) -> None:
        self._reader = reader
        self._outputs = outputs
        self.has_sequences = has_sequences
        self.inputs = reader.specs
        self.outputs = outputs.tensor_specs

    def operations(
        self, inputs: Mapping[str, Tensor], options: PredictOptions, outputs: tuple[str, ...]
    ) -> list[Infer]:
        """Return the operation of each row of the batch. Raises InvalidRequest."""
        return [Infer(row, options, outputs) for row in self._reader.from_tensors(inputs)]

    def tensors(self, answers: Sequence[Mapping[str, Any]], outputs: Sequence[str]) -> list[Tensor]:
        """Return the named output tensors, given the output of each row's outcome."""
        return self._outputs.tensors(answers, outputs)
