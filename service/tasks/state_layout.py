"""Layout of a session's state in one row: the tensors of config.json's `state`, one after the other."""

from collections.abc import Mapping, Sequence
from math import prod
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor

from service.domain.errors import StateCorrupted
from service.nets.config.rnn_spec import StateSpec
from service.tasks.imported_tensors import ImportedTensors


class StateLayout:
    """Concatenates named tensors (B, size) to rows (B, total) and splits such rows again.

    `specs` are the names and shapes of the tensors, without the batch. `maxima` has the largest number of each tensor
    of whole numbers from 0. Rows are float32, which represents the numbers of every narrower compute dtype exactly.
    """

    def __init__(
        self, specs: Sequence[tuple[str, Sequence[int]]], maxima: Mapping[str, int] = MappingProxyType({})
    ) -> None:
        self._maxima = maxima
        self._shapes = {name: tuple(shape) for name, shape in specs}
        self._sizes = {name: prod(shape) for name, shape in specs}
        self.size = sum(self._sizes.values())
        self.state_bytes = 4 * self.size

    @classmethod
    def of(cls, specs: Sequence[StateSpec]) -> "StateLayout":
        """Return the layout of the tensors that a configuration states."""
        maxima = {spec.name: spec.maximum for spec in specs if spec.maximum is not None}
        return cls([(spec.name, spec.shape) for spec in specs], maxima)

    def concat(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """Return the rows (B, total) of tensors (B, size)."""
        return torch.cat([tensors[name].float() for name in self._sizes], dim=1)

    def split(self, rows: Tensor) -> dict[str, Tensor]:
        """Return the tensors (B, size) of `rows` (B, total) by name, as views."""
        return dict(zip(self._sizes, torch.split(rows, list(self._sizes.values()), dim=1), strict=True))

    def to_bytes(self, row: Tensor) -> bytes:
        """Return a row (total,) as little-endian float32."""
        return row.cpu().numpy().astype("<f4", copy=False).tobytes()

    def from_bytes(self, raw: bytes) -> Tensor:
        """Return the row (total,) of `raw`. Raises StateCorrupted for a wrong length or a non-finite number."""
        require_size(raw, self.state_bytes)
        row = np.frombuffer(bytearray(raw), "<f4")
        if not np.logical_and.reduce(np.isfinite(row)):  # faster than `all()`, which goes through Python
            raise StateCorrupted("the stored state holds a number that is not finite; the record is kept")
        return torch.from_numpy(row)

    def to_tensors(self, row: Tensor) -> dict[str, Tensor]:
        """Return the tensors of a row (total,) by name, each in its shape."""
        return {name: part.reshape(self._shapes[name]) for name, part in self.split(row[None]).items()}

    def from_tensors(self, tensors: ImportedTensors) -> Tensor:
        """Return the row (total,) of an imported state. Raises InvalidRequest for a tensor that does not fit."""
        return torch.cat([self._take(tensors, name, shape).flatten() for name, shape in self._shapes.items()])

    def _take(self, tensors: ImportedTensors, name: str, shape: tuple[int, ...]) -> Tensor:
        maximum = self._maxima.get(name)
        return tensors.take_floats(name, shape) if maximum is None else tensors.take_whole(name, shape, maximum)


def require_size(raw: bytes, size: int) -> None:
    """Raise StateCorrupted unless a stored state has `size` bytes."""
    if len(raw) != size:
        raise StateCorrupted(f"the stored state has {len(raw)} bytes, expected {size}; the record is kept")
