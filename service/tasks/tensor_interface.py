"""Tasks that can be asked in tensors, and what their interfaces have in common."""

import math
import struct
from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from service.domain.errors import InvalidRequest
from service.domain.tensor_interface import TensorInterface
from service.domain.tensors import Tensor


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


def pack_floats(name: str, shape: tuple[int, ...], values: Sequence[float]) -> Tensor:
    """Return a tensor of float32."""
    return Tensor(name, "FP32", shape, struct.pack(f"<{len(values)}f", *values))
