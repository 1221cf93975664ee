"""Session state of an ONNX graph: the bytes of its state tensors and of the ends of inputs that overlap."""

import numpy as np
import torch
from torch import Tensor

from service.domain.errors import StateCorrupted
from service.nets.onnx_graph.runtime import is_finite
from service.nets.onnx_graph.state_rows import Rows, StateRows
from service.tasks.imported_tensors import ImportedTensors
from service.tasks.state_layout import require_size


class TensorStateCodec:
    """Encodes states as bytes, which they are, and as named tensors without the batch."""

    def __init__(self, rows: StateRows) -> None:
        self._rows = rows
        self.state_bytes = rows.size

    def to_bytes(self, state: bytes) -> bytes:
        """Return the bytes that a session stores."""
        return state

    def from_bytes(self, raw: bytes) -> bytes:
        """Return the state of a session's bytes. Raises StateCorrupted for a wrong length."""
        require_size(raw, self.state_bytes)
        return raw

    def to_tensors(self, state: bytes) -> dict[str, Tensor]:
        """Return the tensors of a state by name. Raises StateCorrupted for a number that is not finite."""
        rows = self._rows.stack([state])
        require_finite(self._rows, rows)
        return {
            part.name: torch.from_numpy(
                part.flat(rows).reshape(part.row).astype(part.dtype.newbyteorder("="), copy=True)
            )
            for part in self._rows.parts
        }

    def from_tensors(self, tensors: ImportedTensors) -> bytes:
        """Return an imported state. Raises InvalidRequest for a tensor that does not fit."""
        rows = self._rows.empty(1)
        for part in self._rows.parts:
            tensor = tensors.take(part.name, np.dtype(part.dtype).name, part.row)
            part.flat(rows)[...] = tensor.numpy().reshape(1, part.count)
        return bytes(rows[0])


def require_finite(layout: StateRows, rows: Rows) -> None:
    """Raise StateCorrupted if a number of the states (B, total) is not finite."""
    for part in layout.parts:
        if not is_finite(part.flat(rows)):
            raise StateCorrupted(f"the stored {part.name} holds a number that is not finite; the record is kept")
