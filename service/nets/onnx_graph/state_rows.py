"""State tensors of a graph in rows of bytes, one row for each session."""

from collections.abc import Sequence
from math import prod
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from service.nets.onnx_graph.runtime import Array

Rows = NDArray[np.uint8]
_LITTLE_ENDIAN: Final = "<"


class StatePart:
    """A tensor in rows of bytes, from byte `begin` on. `batch` is the axis of the rows, None without one."""

    def __init__(self, name: str, dtype: str, row: tuple[int, ...], batch: int | None, begin: int) -> None:
        self.name, self.row, self.batch = name, row, batch
        self.dtype: np.dtype[Any] = np.dtype(dtype).newbyteorder(_LITTLE_ENDIAN)
        self.count = prod(row)
        self.begin, self.end = begin, begin + self.dtype.itemsize * self.count

    def flat(self, rows: Rows) -> Array:
        """Return the elements (B, count) in rows (B, total), as a view."""
        return rows[:, self.begin : self.end].view(self.dtype)

    def read(self, rows: Rows) -> Array:
        """Return the tensor of all rows, in the shape of the graph."""
        if self.batch is None:
            return self.flat(rows).reshape(self.row)
        shape = (*self.row[: self.batch], len(rows), *self.row[self.batch :])
        tensor = np.empty(shape, self.dtype)
        np.moveaxis(tensor, self.batch, 0)[...] = self.flat(rows).reshape(len(rows), *self.row)
        return tensor

    def write(self, tensor: Array, rows: Rows) -> None:
        """Write a tensor in the shape of the graph to all rows."""
        moved = tensor if self.batch is None else np.moveaxis(tensor, self.batch, 0)
        self.flat(rows)[...] = moved.reshape(len(rows), self.count)


class StateRows:
    """The parts of a row, one after the other."""

    def __init__(self, specs: Sequence[tuple[str, str, tuple[int, ...], int | None]]) -> None:
        self.parts: list[StatePart] = []
        self.size = 0
        for name, dtype, row, batch in specs:
            self.parts.append(StatePart(name, dtype, row, batch, self.size))
            self.size = self.parts[-1].end

    def stack(self, states: Sequence[bytes]) -> Rows:
        """Return the rows (B, total) of the bytes of sessions."""
        return np.frombuffer(b"".join(states), np.uint8).reshape(len(states), self.size)

    def empty(self, count: int) -> Rows:
        """Return rows for `count` sessions, of any content."""
        return np.empty((count, self.size), np.uint8)
