"""Where a stream of observations stands, as a value and as bytes."""

import struct
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from service.errors import StateCorrupted
from service.nets.preprocessor import Trail
from service.tasks.layout import StateLayout

#: Rows seen, and the time of the last one in microseconds since 1970.
HEADER = struct.Struct("<qq")
NO_TIME = -(2**63)


@dataclass(frozen=True, slots=True)
class Standing:
    """How many rows were seen, when the last one was (None: untold), the network's row (R,), and the rows' trail."""

    count: int
    time: int | None
    network: Tensor
    trail: Trail


class StandingFormat:
    """Little-endian: the header, the tensors of config.json's `state` as float32."""

    def __init__(self, layout: StateLayout, features: int, season: int, targets: int) -> None:
        self._layout = layout
        self._parts = [layout.size - features - season * targets, features, season * targets]
        self._history = (season, targets)
        self.bytes = HEADER.size + layout.bytes

    def to_bytes(self, standing: Standing) -> bytes:
        """Return the bytes that a session stores."""
        header = HEADER.pack(standing.count, NO_TIME if standing.time is None else standing.time)
        trail = np.concatenate([standing.trail.last, standing.trail.history.ravel()])
        return header + self._layout.to_bytes(torch.cat([standing.network, torch.from_numpy(trail).float()]))

    def from_bytes(self, raw: bytes) -> Standing:
        """Return what `raw` holds. Raises StateCorrupted for a wrong length or number."""
        if len(raw) != self.bytes:
            raise StateCorrupted(f"the stored state has {len(raw)} bytes, expected {self.bytes}; the record is kept")
        count, time = HEADER.unpack_from(raw)
        if count < 0:
            raise StateCorrupted(f"the stored state counts {count} rows; the record is kept")
        network, last, history = torch.split(self._layout.from_bytes(raw[HEADER.size :]), self._parts)
        trail = Trail(last.double().numpy(), history.double().numpy().reshape(self._history))
        return Standing(count, None if time == NO_TIME else time, network, trail)
