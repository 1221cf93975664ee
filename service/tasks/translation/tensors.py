"""Tensors of a translation model: text in, its best translation and that one's score out."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from service.domain.operations import Infer, PredictOptions, TextInput
from service.domain.tensors import Tensor, TensorSpec, make_tensor
from service.tasks.tensor_interface import pack_floats, require_input, texts

INPUTS: Final = (TensorSpec("TEXT", "BYTES", (-1, 1)),)
OUTPUTS: Final = (TensorSpec("TRANSLATION", "BYTES", (-1, 1)), TensorSpec("SCORE", "FP32", (-1, 1)))


class TranslationTensors:
    """Tensors of a translation model."""

    inputs = INPUTS
    outputs = OUTPUTS
    has_sequences = False
    opening_inputs = ()
    unlisted_inputs = ()

    def operations(
        self, inputs: Mapping[str, Tensor], options: PredictOptions, outputs: tuple[str, ...]
    ) -> list[Infer]:
        """Return the operation of each row of TEXT. Raises InvalidRequest."""
        tensor = require_input(inputs, "TEXT")
        return [Infer(TextInput(text=text), options, outputs) for text in texts(tensor)]

    def tensors(self, answers: Sequence[Mapping[str, Any]], outputs: Sequence[str]) -> list[Tensor]:
        """Return the named output tensors, given the output of each row's outcome."""
        best, shape = [answer["translations"][0] for answer in answers], (len(answers), 1)
        made = {
            "TRANSLATION": make_tensor(
                "TRANSLATION", "BYTES", shape, [item["text"].encode("utf-8", "replace") for item in best]
            ),
            "SCORE": pack_floats("SCORE", shape, [item["score"] for item in best]),
        }
        return [made[name] for name in outputs]
