"""Session state of a sequence that a graph reads: timesteps so far, bytes of the graph, last outputs and last row."""

import struct

import numpy as np
import torch
from torch import Tensor

from service.domain.errors import StateCorrupted
from service.nets.onnx_graph.encoder_config import GraphEncoderConfig
from service.nets.onnx_graph.state_rows import StateRows
from service.tasks.imported_tensors import ImportedTensors
from service.tasks.sequence_encoding.session_state import MAX_COUNT, EncoderState
from service.tasks.state_layout import require_size
from service.tasks.tensor.session_state import TensorStateCodec

HEADER = struct.Struct("<q")
COUNT = "sequence.count"


class GraphEncoderCodec:
    """Encodes states as little-endian bytes and as named tensors."""

    def __init__(self, config: GraphEncoderConfig) -> None:
        rows = StateRows([(spec.name, spec.dtype, spec.shape, 0) for spec in config.session_state()])
        self._tensors = TensorStateCodec(rows)
        last = 0 if config.reads_text else len(config.features)
        self._network = rows.size - np.dtype(np.float32).itemsize * last
        self.state_bytes = HEADER.size + rows.size

    def to_bytes(self, state: EncoderState) -> bytes:
        """Return the bytes that a session stores."""
        return HEADER.pack(state.count) + _tensor_bytes(state)

    def from_bytes(self, raw: bytes) -> EncoderState:
        """Return the state of a session's bytes. Raises StateCorrupted for a wrong length, count or last row.

        The numbers of the graph are checked together with those of a batch.
        """
        require_size(raw, self.state_bytes)
        (count,) = HEADER.unpack_from(raw)
        if not 0 <= count <= MAX_COUNT:
            raise StateCorrupted(f"the stored state counts {count} timesteps; the record is kept")
        state = self._state(count, raw[HEADER.size :])
        if not np.isfinite(state.last).all():
            raise StateCorrupted("the stored last row holds a number that is not finite; the record is kept")
        return state

    def to_tensors(self, state: EncoderState) -> dict[str, Tensor]:
        """Return the tensors of a state by name. Raises StateCorrupted for a number that is not finite."""
        return {**self._tensors.to_tensors(_tensor_bytes(state)), COUNT: torch.tensor(state.count)}

    def from_tensors(self, tensors: ImportedTensors) -> EncoderState:
        """Return an imported state. Raises InvalidRequest for a tensor that does not fit."""
        raw = self._tensors.from_tensors(tensors)
        return self._state(tensors.take_int(COUNT, 0, MAX_COUNT), raw)

    def _state(self, count: int, raw: bytes) -> EncoderState:
        network = np.frombuffer(raw, np.uint8, count=self._network)
        return EncoderState(count, network, np.frombuffer(raw[self._network :], "<f4"))


def _tensor_bytes(state: EncoderState) -> bytes:
    return state.network.tobytes() + np.asarray(state.last, "<f4").tobytes()
