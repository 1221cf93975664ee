"""Session state of a next-word model: one row of float32, which is decoded together with those of its batch."""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from service.domain.errors import InvalidRequest, StateCorrupted
from service.tasks.imported_tensors import ImportedTensors
from service.tasks.state_layout import StateLayout, require_size

#: The state of one session (total,). One that was read from a session is a read-only view of the stored bytes.
Row: TypeAlias = NDArray[np.float32]


class NextWordStateCodec:
    """Encodes rows as little-endian float32 and as named tensors; `layout` is that of the tensors in a row.

    `vector_size` is that of the vector that a session begins with, None if it begins with none.
    """

    def __init__(self, layout: StateLayout, vector_size: int | None = None) -> None:
        self._layout = layout
        self._vector_size = vector_size
        self.state_bytes = layout.state_bytes

    def to_bytes(self, state: Row | None) -> bytes:
        """Return the bytes that a session stores. Raises InvalidRequest if no vector was read where one is needed."""
        if state is None:
            raise missing_vector(self._vector_size or 0)
        return state.astype("<f4", copy=False).tobytes()

    def from_bytes(self, raw: bytes) -> Row:
        """Return the row of a session's bytes. Raises StateCorrupted for a wrong length; `stack` checks the numbers."""
        require_size(raw, self.state_bytes)
        return np.frombuffer(raw, "<f4")

    def to_tensors(self, state: Row) -> dict[str, Tensor]:
        """Return the tensors of a row by name. Raises StateCorrupted for a number that is not finite."""
        return self._layout.to_tensors(stack([state])[0])

    def from_tensors(self, tensors: ImportedTensors) -> Row:
        """Return an imported state. Raises InvalidRequest for a tensor that does not fit."""
        return self._layout.from_tensors(tensors).numpy()


def missing_vector(size: int) -> InvalidRequest:
    """Return the error for a sequence that begins without its vector of `size` numbers."""
    return vector_refusal("is missing", f"{size} numbers, the vector that a sequence of this model begins with")


def vector_refusal(problem: str, expected: str) -> InvalidRequest:
    """Return the error for a vector of an input."""
    return InvalidRequest(f"input.vector {problem}: expected {expected}", param="input.vector")


def stack(states: Sequence[Row]) -> Tensor:
    """Return rows (total,) as one tensor (B, total) of its own memory.

    Raises StateCorrupted if a number is not finite. One check of the whole batch costs a tenth of one check per row.
    """
    rows = np.concatenate(states).reshape(len(states), -1)
    if not np.logical_and.reduce(np.isfinite(rows), axis=None):
        raise StateCorrupted("the state holds a number that is not finite; the record is kept")
    return torch.from_numpy(rows)
