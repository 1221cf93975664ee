"""Inputs of sequence encoders: texts as token ids, or observations as rows of numbers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from service.domain.errors import InvalidRequest
from service.domain.operations import Input, SeriesInput, Target, TextInput
from service.domain.tensors import Tensor, TensorSpec
from service.nets.forecast_inputs.rows import RowReader
from service.tasks.inputs import read_rows, require_series, require_text, text_size
from service.tasks.tensor_interface import TEXT_INPUTS, read_series, read_text_inputs, require_input
from service.tasks.text_encoding import encode_text
from service.tasks.vocabulary import Vocabulary

#: Bytes of a token and of a number of a row: as the client sent it, as it is fed, and in the answer.
TOKEN_BYTES = 160
NUMBER_BYTES = 96

#: The last row of numbers of a stream, (F,) float32; without entries if the stream is of tokens.
LastRow = NDArray[np.float32]
NO_ROW: LastRow = np.zeros(0, np.float32)


@dataclass(frozen=True, slots=True)
class EncodedSequence:
    """New timesteps of a sequence.

    `inputs` are token ids (n,) int64 or rows (n, W) float32, `tokens` the tokens of a text, None for numbers, and
    `last` is the row after which later ones are read. `target` is what the client says has turned out.
    """

    inputs: NDArray[Any]
    tokens: list[str] | None
    last: LastRow
    target: Target | None = None

    def __len__(self) -> int:
        return len(self.inputs)


class InputReader(Protocol):
    """Reader of the inputs of a network."""

    @property
    def begin_id(self) -> int | None:
        """The token that is fed before the first one of a text, if there is one."""

    @property
    def pad_id(self) -> int | None:
        """The token that fills windows of text, if they are padded."""

    @property
    def no_row(self) -> LastRow:
        """The row after which the first one of a stream is read."""

    @property
    def specs(self) -> tuple[TensorSpec, ...]:
        """The input tensors of the Open Inference Protocol."""

    def read(self, model_input: Input | None, last: LastRow, limit: int) -> EncodedSequence:
        """Return an input that follows the row `last`, without timesteps if it is None.

        Raises InvalidRequest, InputTooLong for more than `limit` timesteps.
        """

    def size(self, model_input: Input | None) -> tuple[int, int]:
        """Return the largest number of timesteps that an input can have, and the bytes of memory that it takes."""

    def from_tensors(self, inputs: Mapping[str, Tensor]) -> list[Input]:
        """Return the input of each row of the batch. Raises InvalidRequest."""


class TextReader:
    """Reader of texts."""

    no_row = NO_ROW
    specs = TEXT_INPUTS

    def __init__(self, vocabulary: Vocabulary, begin: str | None, padding: str | None = None) -> None:
        self._vocabulary = vocabulary
        self.pad_id = None if padding is None else vocabulary.token_to_id(padding)
        self.begin_id = None if begin is None else vocabulary.token_to_id(begin)

    def read(self, model_input: Input | None, last: LastRow, limit: int) -> EncodedSequence:
        if model_input is None:
            return EncodedSequence(np.zeros(0, np.int64), [], last)
        text_input = require_text(model_input)
        encoded = encode_text(self._vocabulary, text_input, limit)
        return EncodedSequence(np.array(encoded.ids, np.int64), encoded.tokens, last, text_input.target)

    def size(self, model_input: Input | None) -> tuple[int, int]:
        tokens = text_size(model_input) if isinstance(model_input, TextInput) else 0
        return tokens, TOKEN_BYTES * tokens

    def from_tensors(self, inputs: Mapping[str, Tensor]) -> list[Input]:
        """Return the input of each row of TOKEN_IDS, or of TEXT if there are none. Raises InvalidRequest."""
        return [*read_text_inputs(inputs, self._vocabulary)]


class SeriesReader:
    """Reader of observations."""

    begin_id = None
    pad_id = None

    def __init__(self, rows: RowReader) -> None:
        self._rows = rows
        self._width = len(rows.features)
        self.no_row: LastRow = np.zeros(self._width, np.float32)
        self.specs = (TensorSpec("VALUES", "FP32", (-1, -1, self._width)),)

    def read(self, model_input: Input | None, last: LastRow, limit: int) -> EncodedSequence:
        series = SeriesInput(None) if model_input is None else require_series(model_input)
        for field in ("timestamps", "future"):
            if getattr(series, field) is not None:
                raise InvalidRequest(
                    f"input.{field} is given: expected none, since the model reads values alone", param=f"input.{field}"
                )
        rows = self._rows.read(read_rows(series, self._rows.features, limit), last.astype(np.float64))
        return EncodedSequence(rows.inputs.astype(np.float32), None, rows.last.astype(np.float32), series.target)

    def size(self, model_input: Input | None) -> tuple[int, int]:
        rows = len(model_input.values or ()) if isinstance(model_input, SeriesInput) else 0
        return rows, NUMBER_BYTES * self._width * rows

    def from_tensors(self, inputs: Mapping[str, Tensor]) -> list[Input]:
        """Return the input of each row of VALUES. NaN and numbers out of range are missing. Raises InvalidRequest."""
        return [SeriesInput(rows) for rows in read_series(require_input(inputs, "VALUES"), self._width)]
