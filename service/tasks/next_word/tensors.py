"""Tensors of a next-word model: token ids or text in, logits and the most probable tokens out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from service.domain.operations import Base64, Infer, PredictOptions, TextInput
from service.domain.tensors import Tensor, TensorSpec, make_tensor
from service.tasks.tensor_interface import (
    TEXT_INPUTS,
    pack_floats,
    read_text_inputs,
    read_vectors,
    require_batch,
    require_input,
)
from service.tasks.vocabulary import Vocabulary

VECTOR: Final = "VECTOR"
TEXT_NAMES: Final = tuple(spec.name for spec in TEXT_INPUTS)
LOGITS: Final = "LOGITS"
TOP_OUTPUTS: Final = frozenset({"TOP_IDS", "TOP_TOKENS", "TOP_PROBABILITIES"})


class NextWordTensors:
    """Tensors of a next-word model.

    If sequences begin with a vector of `vector_size` numbers, it is an input, too, which their later requests lack.
    """

    has_sequences = True
    unlisted_inputs = ()

    def __init__(self, vocabulary: Vocabulary, vector_size: int | None = None) -> None:
        self._vocabulary = vocabulary
        self._vector_size = vector_size
        vector = () if vector_size is None else (TensorSpec(VECTOR, "FP32", (-1, vector_size), optional=True),)
        self.opening_inputs = tuple(spec.name for spec in vector)
        self.inputs = (*vector, *TEXT_INPUTS)
        self.outputs = (
            TensorSpec(LOGITS, "FP32", (-1, vocabulary.size)),
            TensorSpec("TOP_IDS", "INT64", (-1, -1)),
            TensorSpec("TOP_TOKENS", "BYTES", (-1, -1)),
            TensorSpec("TOP_PROBABILITIES", "FP32", (-1, -1)),
        )
        self._makers: dict[str, Callable[[Sequence[Mapping[str, Any]]], Tensor]] = {
            LOGITS: self._logits,
            "TOP_IDS": self._top_ids,
            "TOP_TOKENS": self._top_tokens,
            "TOP_PROBABILITIES": self._top_probabilities,
        }

    def operations(
        self, inputs: Mapping[str, Tensor], options: PredictOptions, outputs: tuple[str, ...]
    ) -> list[Infer]:
        """Return the operation of each row of TOKEN_IDS, or of TEXT if there are none. Raises InvalidRequest."""
        if self._vector_size is None or VECTOR not in inputs:
            return [Infer(text_input, options, outputs) for text_input in read_text_inputs(inputs, self._vocabulary)]
        vectors = read_vectors(inputs[VECTOR], self._vector_size)
        texts = [TextInput()] * len(vectors)
        if not inputs.keys().isdisjoint(TEXT_NAMES):
            require_batch(require_input(inputs, *TEXT_NAMES), len(vectors))
            texts = read_text_inputs(inputs, self._vocabulary)
        pairs = zip(texts, vectors, strict=True)
        return [Infer(replace(text_input, vector=vector), options, outputs) for text_input, vector in pairs]

    def tensors(self, answers: Sequence[Mapping[str, Any]], outputs: Sequence[str]) -> list[Tensor]:
        """Return the named output tensors, given the output of each row's outcome."""
        return [self._makers[name](answers) for name in outputs]

    def _logits(self, answers: Sequence[Mapping[str, Any]]) -> Tensor:
        data = b"".join(Base64.bytes_of(answer["logits"]) for answer in answers)
        return Tensor(LOGITS, "FP32", (len(answers), self._vocabulary.size), data)

    def _top_ids(self, answers: Sequence[Mapping[str, Any]]) -> Tensor:
        shape, ids = _top(answers, "id", -1)
        return make_tensor("TOP_IDS", "INT64", shape, ids)

    def _top_tokens(self, answers: Sequence[Mapping[str, Any]]) -> Tensor:
        shape, tokens = _top(answers, "token", "")
        return make_tensor("TOP_TOKENS", "BYTES", shape, [token.encode("utf-8", "replace") for token in tokens])

    def _top_probabilities(self, answers: Sequence[Mapping[str, Any]]) -> Tensor:
        return pack_floats("TOP_PROBABILITIES", *_top(answers, "probability", 0.0))


def _top(answers: Sequence[Mapping[str, Any]], field: str, filler: object) -> tuple[tuple[int, int], list[Any]]:
    """Return the shape and the elements of a field of the predictions; shorter rows are filled up."""
    rows = [[prediction[field] for prediction in answer["predictions"]] for answer in answers]
    width = max(map(len, rows), default=0)
    return (len(rows), width), [element for row in rows for element in row + [filler] * (width - len(row))]
