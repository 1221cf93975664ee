"""Session state of a forecast stream, and its serialisation."""

import struct
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from service.domain.errors import StateCorrupted
from service.domain.rfc3339 import BEGIN, END
from service.nets.forecast_inputs.preprocessor import History
from service.tasks.imported_tensors import ImportedTensors
from service.tasks.state_layout import StateLayout, require_size

#: The number of rows, and the time of the last one in microseconds since 1970 or NO_TIME.
HEADER = struct.Struct("<qq")
NO_TIME = -(2**63)
#: More rows than anyone feeds; counting on from here does not overflow.
MAX_ROWS = 2**53


@dataclass(frozen=True, slots=True)
class StreamState:
    """The state of a stream: number of rows, the network's state (R,), and the past values that later rows need.

    `time` is that of the last row in microseconds since 1970, or None if it is not known.
    """

    count: int
    time: int | None
    network: Tensor
    history: History


class StreamStateCodec:
    """Encodes stream states as bytes and as named tensors.

    The stored bytes are little-endian: the header and the tensors of config.json's `state` as float32. `layout` is that
    of these tensors, and the others are the numbers of features, of rows in a season, and of targets.
    """

    def __init__(self, layout: StateLayout, features: int, season: int, targets: int) -> None:
        self._layout = layout
        self._sizes = [layout.size - features - season * targets, features, season * targets]
        self._season_shape = (season, targets)
        self.state_bytes = HEADER.size + layout.state_bytes

    def to_bytes(self, state: StreamState) -> bytes:
        """Return the bytes that a session stores."""
        header = HEADER.pack(state.count, NO_TIME if state.time is None else state.time)
        return header + self._layout.to_bytes(_row(state))

    def from_bytes(self, raw: bytes) -> StreamState:
        """Return the state of a session's bytes. Raises StateCorrupted for a wrong length or number."""
        require_size(raw, self.state_bytes)
        count, time = HEADER.unpack_from(raw)
        if count < 0:
            raise StateCorrupted(f"the stored state counts {count} rows; the record is kept")
        return self._state(count, None if time == NO_TIME else time, self._layout.from_bytes(raw[HEADER.size :]))

    def to_tensors(self, state: StreamState) -> dict[str, Tensor]:
        """Return the tensors of config.json's `state`, the number of `rows`, and the `time` if it is known."""
        tensors = {**self._layout.to_tensors(_row(state)), "rows": torch.tensor(state.count)}
        return tensors if state.time is None else {**tensors, "time": torch.tensor(state.time)}

    def from_tensors(self, tensors: ImportedTensors) -> StreamState:
        """Return an imported state. Raises InvalidRequest for a tensor that does not fit."""
        row = self._layout.from_tensors(tensors)
        time = tensors.take_int("time", BEGIN, END - 1) if "time" in tensors else None
        return self._state(tensors.take_int("rows", 0, MAX_ROWS), time, row)

    def _state(self, count: int, time: int | None, row: Tensor) -> StreamState:
        network, last, targets = torch.split(row, self._sizes)
        history = History(last.double().numpy(), targets.double().numpy().reshape(self._season_shape))
        return StreamState(count, time, network, history)


def _row(state: StreamState) -> Tensor:
    """Return network state and history in one row (total,)."""
    history = np.concatenate([state.history.last, state.history.targets.ravel()])
    return torch.cat([state.network, torch.from_numpy(history).float()])
