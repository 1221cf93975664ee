"""Session state of a sequence encoder: the number of timesteps, the network's tensors, and the last row of numbers."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from service.domain.errors import InvalidRequest, StateCorrupted
from service.tasks.imported_tensors import ImportedTensors
from service.tasks.sequence_encoding.inputs import LastRow
from service.tasks.state_layout import StateLayout, require_size

#: The number of timesteps.
HEADER = struct.Struct("<q")
#: More timesteps than anyone feeds; counting on from here does not overflow.
MAX_COUNT = 2**53

Row = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class EncoderState:
    """The state of a stream.

    `count` is the number of timesteps so far, with a begin token. `network` has the tensors of the network in one row
    (R,) of float32, or of bytes if the network is a graph, and
    `last` the last row of numbers. Those that were read from a session are read-only views of its bytes.
    """

    count: int
    network: NDArray[Any]
    last: LastRow


class EncoderStateCodec:
    """Encodes states as little-endian bytes and as named tensors.

    `layout` is that of all tensors, those of the network first and then `last`, which has `width` numbers.
    """

    def __init__(self, layout: StateLayout, width: int) -> None:
        self._layout = layout
        self._network = layout.size - width
        self.state_bytes = HEADER.size + layout.state_bytes

    def to_bytes(self, state: EncoderState) -> bytes:
        """Return the bytes that a session stores."""
        parts = [np.asarray(part, "<f4").tobytes() for part in (state.network, state.last)]
        return b"".join([HEADER.pack(state.count), *parts])

    def from_bytes(self, raw: bytes) -> EncoderState:
        """Return the state of a session's bytes. Raises StateCorrupted for a wrong length, count or last row.

        The numbers of the network are checked together with those of a batch, by `stack`.
        """
        require_size(raw, self.state_bytes)
        (count,) = HEADER.unpack_from(raw)
        if not 0 <= count <= MAX_COUNT:
            raise StateCorrupted(f"the stored state counts {count} timesteps; the record is kept")
        state = self._state(count, np.frombuffer(raw, "<f4", offset=HEADER.size))
        if len(state.last):
            stack([state.last])
        return state

    def to_tensors(self, state: EncoderState) -> dict[str, Tensor]:
        """Return the tensors of config.json's `state` and `count`. Raises StateCorrupted for a number out of range."""
        row = torch.from_numpy(np.concatenate([stack([state.network])[0].numpy(), state.last]))
        return {**self._layout.to_tensors(row), "count": torch.tensor(state.count)}

    def from_tensors(self, tensors: ImportedTensors) -> EncoderState:
        """Return an imported state. Raises InvalidRequest for a tensor that does not fit."""
        row = self._layout.from_tensors(tensors).numpy()
        return self._state(tensors.take_int("count", 0, MAX_COUNT), row)

    def _state(self, count: int, row: Row) -> EncoderState:
        return EncoderState(count, row[: self._network], row[self._network :])


class NoSessionCodec:
    """Codec of a network without sessions; `reason` says why it has none."""

    state_bytes = 0

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def to_bytes(self, state: None) -> bytes:  # noqa: ARG002 - there is no state
        """Raise InvalidRequest."""
        raise self._refusal()

    def from_bytes(self, raw: bytes) -> None:  # noqa: ARG002 - likewise
        """Raise StateCorrupted, since no session of this network can have been stored."""
        raise StateCorrupted(f"the model has no sessions: {self._reason}; the record is kept")

    def to_tensors(self, state: None) -> dict[str, Tensor]:  # noqa: ARG002 - likewise
        """Raise InvalidRequest."""
        raise self._refusal()

    def from_tensors(self, tensors: ImportedTensors) -> None:  # noqa: ARG002 - likewise
        """Raise InvalidRequest."""
        raise self._refusal()

    def _refusal(self) -> InvalidRequest:
        return InvalidRequest(
            f"model has no sessions: {self._reason}. Expected predict with whole sequences", param="model", applied="no"
        )


def stack(rows: Sequence[Row]) -> Tensor:
    """Return rows (R,) as one tensor (B, R) of its own memory. Raises StateCorrupted for a number that is not finite.

    One check of the whole batch costs a tenth of one check per row.
    """
    stacked = np.concatenate(rows).reshape(len(rows), -1)
    if not np.logical_and.reduce(np.isfinite(stacked), axis=None):
        raise StateCorrupted("the state holds a number that is not finite; the record is kept")
    return torch.from_numpy(stacked)
