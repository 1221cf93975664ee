"""Where a stream of observations stands, as a value and as bytes."""

import struct
from dataclasses import dataclass

import numpy as np
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

    def __init__(self, network: StateLayout, features: int, season: int, targets: int) -> None:
        self._network = network
        self._features = features
        self._history = (season, targets)
        self.bytes = HEADER.size + network.bytes + 4 * (features + season * targets)

    def to_bytes(self, standing: Standing) -> bytes:
        """Return the bytes that a session stores."""
        header = HEADER.pack(standing.count, NO_TIME if standing.time is None else standing.time)
        trail = np.concatenate([standing.trail.last, standing.trail.history.ravel()])
        return header + self._network.to_bytes(standing.network) + trail.astype("<f4").tobytes()

    def from_bytes(self, raw: bytes) -> Standing:
        """Return what `raw` holds. Raises StateCorrupted for a wrong length or number."""
        if len(raw) != self.bytes:
            raise StateCorrupted(f"the stored state has {len(raw)} bytes, expected {self.bytes}; the record is kept")
        count, time = HEADER.unpack_from(raw)
        end = HEADER.size + self._network.bytes
        network = self._network.from_bytes(raw[HEADER.size : end])
        numbers = np.frombuffer(raw, "<f4", offset=end).astype(np.float64)
        if count < 0 or not np.isfinite(numbers).all():
            raise StateCorrupted("the stored state holds a number that is not finite; the record is kept")
        history = numbers[self._features :].reshape(self._history)
        return Standing(count, None if time == NO_TIME else time, network, Trail(numbers[: self._features], history))
