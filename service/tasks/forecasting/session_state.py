"""Where a stream of observations stands, as a value and as bytes."""

import struct
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from service.domain.errors import StateCorrupted
from service.domain.rfc3339 import BEGIN, END
from service.nets.forecast_inputs.preprocessor import History
from service.tasks.imported_tensors import ImportedTensors
from service.tasks.state_layout import StateLayout

#: Rows seen, and the time of the last one in microseconds since 1970.
HEADER = struct.Struct("<qq")
NO_TIME = -(2**63)
#: More rows than anyone feeds, and few enough to be counted on.
MAX_ROWS = 2**53


@dataclass(frozen=True, slots=True)
class StreamState:
    """How many rows were seen, when the last one was (None: untold), the network's row (R,), and the rows' trail."""

    count: int
    time: int | None
    network: Tensor
    trail: History


class StreamStateCodec:
    """Little-endian: the header, the tensors of config.json's `state` as float32."""

    def __init__(self, layout: StateLayout, features: int, season: int, targets: int) -> None:
        self._layout = layout
        self._parts = [layout.size - features - season * targets, features, season * targets]
        self._history = (season, targets)
        self.state_bytes = HEADER.size + layout.state_bytes

    def to_bytes(self, standing: StreamState) -> bytes:
        """Return the bytes that a session stores."""
        header = HEADER.pack(standing.count, NO_TIME if standing.time is None else standing.time)
        return header + self._layout.to_bytes(_row(standing))

    def from_bytes(self, raw: bytes) -> StreamState:
        """Return what `raw` holds. Raises StateCorrupted for a wrong length or number."""
        if len(raw) != self.state_bytes:
            raise StateCorrupted(
                f"the stored state has {len(raw)} bytes, expected {self.state_bytes}; the record is kept"
            )
        count, time = HEADER.unpack_from(raw)
        if count < 0:
            raise StateCorrupted(f"the stored state counts {count} rows; the record is kept")
        return self._standing(count, None if time == NO_TIME else time, self._layout.from_bytes(raw[HEADER.size :]))

    def to_tensors(self, standing: StreamState) -> dict[str, Tensor]:
        """Return the tensors of config.json's `state`; `rows` seen, and the `time` of the last one if it is known."""
        tensors = {**self._layout.to_tensors(_row(standing)), "rows": torch.tensor(standing.count)}
        return tensors if standing.time is None else {**tensors, "time": torch.tensor(standing.time)}

    def from_tensors(self, given: ImportedTensors) -> StreamState:
        """Return what an imported state tells. Raises InvalidRequest for a tensor that does not fit."""
        row = self._layout.from_tensors(given)
        time = given.take_int("time", BEGIN, END - 1) if "time" in given else None
        return self._standing(given.take_int("rows", 0, MAX_ROWS), time, row)

    def _standing(self, count: int, time: int | None, row: Tensor) -> StreamState:
        network, last, history = torch.split(row, self._parts)
        trail = History(last.double().numpy(), history.double().numpy().reshape(self._history))
        return StreamState(count, time, network, trail)


def _row(standing: StreamState) -> Tensor:
    trail = np.concatenate([standing.trail.last, standing.trail.history.ravel()])
    return torch.cat([standing.network, torch.from_numpy(trail).float()])
