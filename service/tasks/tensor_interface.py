"""Tasks that can be asked in tensors, and what their interfaces have in common."""

import math
import struct
from collections.abc import Mapping, Sequence
from typing import Final, Protocol, runtime_checkable

from service.domain.errors import InvalidRequest
from service.domain.operations import MAX_ABS, MAX_VECTOR_NUMBER, VECTOR_NUMBER, TextInput
from service.domain.tensor_interface import TensorInterface
from service.domain.tensors import Tensor, TensorSpec
from service.tasks.vocabulary import Vocabulary

TEXT_INPUTS: Final = (
    TensorSpec("TOKEN_IDS", "INT64", (-1, -1), optional=True),
    TensorSpec("TEXT", "BYTES", (-1, 1), optional=True),
)


@runtime_checkable
class TensorTask(Protocol):
    """A task that can be asked in tensors."""

    @property
    def tensor_interface(self) -> TensorInterface: ...


def require_input(inputs: Mapping[str, Tensor], *names: str) -> Tensor:
    """Return the first of the inputs `names` that is there. Raises InvalidRequest if there is none."""
    for name in names:
        if name in inputs:
            return inputs[name]
    raise InvalidRequest(f"inputs lacks {' and '.join(names)}: expected {' or '.join(names)}", param="inputs")


def require_batch(tensor: Tensor, batch: int) -> None:
    """Raise InvalidRequest if another input has more or fewer rows than the batch."""
    if tensor.shape[0] != batch:
        raise InvalidRequest(
            f"{tensor.name} has the shape {[*tensor.shape]}: expected {batch} rows, as the other input has",
            param=tensor.name,
        )


def texts(tensor: Tensor) -> list[str]:
    """Return the text of each row. Raises InvalidRequest for bytes that are not UTF-8, or several texts in a row."""
    if math.prod(tensor.shape[1:]) != 1:
        raise InvalidRequest(
            f"{tensor.name} has the shape {[*tensor.shape]}: expected [batch, 1], one text for each row",
            param=tensor.name,
        )
    decoded: list[str] = []
    for index, element in enumerate(tensor.elements()):
        try:
            decoded.append(element.decode())
        except UnicodeDecodeError as error:
            raise InvalidRequest(
                f"{tensor.name}[{index}] is not UTF-8 at byte {error.start}: expected text", param=tensor.name
            ) from None
    return decoded


def read_text_inputs(inputs: Mapping[str, Tensor], vocabulary: Vocabulary) -> list[TextInput]:
    """Return the input of each row of TOKEN_IDS, or of TEXT if there are none.

    Load generators fill all inputs of a model at random, so both may come. An id that the vocabulary lacks is read as
    the unknown token, if there is one. Raises InvalidRequest.
    """
    tensor = require_input(inputs, "TOKEN_IDS", "TEXT")
    if tensor.name == "TEXT":
        return [TextInput(text=text) for text in texts(tensor)]
    if len(tensor.shape) != 2:
        raise InvalidRequest(f"TOKEN_IDS has the shape {[*tensor.shape]}: expected [batch, tokens]", param="TOKEN_IDS")
    return [TextInput(ids=_known_ids(row, vocabulary)) for row in tensor.rows()]


def _known_ids(ids: Sequence[int], vocabulary: Vocabulary) -> tuple[int, ...]:
    size, unknown = vocabulary.size, vocabulary.unknown_id
    if unknown is None or not ids or (min(ids) >= 0 and max(ids) < size):
        return tuple(ids)
    return tuple(index if 0 <= index < size else unknown for index in ids)


def read_series(tensor: Tensor, width: int) -> list[tuple[tuple[float | None, ...], ...]]:
    """Return the rows of `width` numbers of each row of the batch; None for NaN and for numbers out of range.

    Raises InvalidRequest for another shape.
    """
    if len(tensor.shape) != 3 or tensor.shape[2] != width:
        raise InvalidRequest(
            f"{tensor.name} has the shape {[*tensor.shape]}: expected [batch, rows, {width}]", param=tensor.name
        )
    batches = []
    for elements in tensor.rows():
        numbers = [float(number) if -MAX_ABS <= number <= MAX_ABS else None for number in elements]
        batches.append(tuple(zip(*[iter(numbers)] * width, strict=True)))
    return batches


def read_vectors(tensor: Tensor, size: int) -> list[tuple[float, ...]]:
    """Return the `size` numbers of each row of the batch. Raises InvalidRequest for another shape, NaN and infinity."""
    if len(tensor.shape) != 2 or tensor.shape[1] != size:
        raise InvalidRequest(
            f"{tensor.name} has the shape {[*tensor.shape]}: expected [batch, {size}]", param=tensor.name
        )
    vectors = [tuple(map(float, row)) for row in tensor.rows()]
    for row, vector in enumerate(vectors):
        for index, number in enumerate(vector):
            if not abs(number) <= MAX_VECTOR_NUMBER:
                raise InvalidRequest(
                    f"{tensor.name}[{row}, {index}] is {number}: expected {VECTOR_NUMBER}", param=tensor.name
                )
    return vectors


def pack_floats(name: str, shape: tuple[int, ...], values: Sequence[float]) -> Tensor:
    """Return a tensor of float32."""
    return Tensor(name, "FP32", shape, struct.pack(f"<{len(values)}f", *values))
