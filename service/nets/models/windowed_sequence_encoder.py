"""Sequence encoder that reads windows: an answer is that for the last N timesteps, from the initial state.

A session stores the window in place of the recurrent tensors, see `window.py`, so networks of both directions have
sessions too. Parameters are those of `SequenceEncoder`.
"""

from itertools import accumulate

import torch
from torch import Tensor

from service.nets.config.sequence_encoder_config import SequenceEncoderConfig
from service.nets.layers.rnn_stack import State
from service.nets.models.sequence_encoder import SequenceEncoder
from service.nets.models.window import empty_window, pack_windows, push, read_windows


class WindowedSequenceEncoder(SequenceEncoder):
    """Network of a configuration with a window, uninitialised until a state dict is loaded."""

    def __init__(self, config: SequenceEncoderConfig) -> None:
        super().__init__(config)
        self._size = config.rows_per_input
        self._width = 1 if config.reads_text else config.width
        self._padding = None if config.padding is None else config.padding.side

    def initial_state(self, batch: int) -> State:
        """Return empty windows."""
        return empty_window(batch, self._size, self._width)

    def step(self, inputs: Tensor, state: State, counts: Tensor) -> State:  # noqa: ARG002 - the arguments of all networks
        """Append one timestep to the windows: token ids (B,) or rows (B, W). Nothing is computed."""
        return push(state, inputs.reshape(len(inputs), 1, self._width))

    def read_out(self, state: State, counts: Tensor) -> Tensor:  # noqa: ARG002 - likewise
        """Return the readout (B, O) of windows, which are not empty."""
        return read_windows(state, self._size, self._read_part)

    def _read_part(self, state: State) -> Tensor:
        packed = pack_windows(state, self._width, self._padding)
        inputs = packed.inputs[:, 0].long() if self.config.reads_text else packed.inputs
        outputs = SequenceEncoder.packed_sequences(self, inputs, packed.counts)
        starts = torch.tensor([0, *accumulate(packed.counts[:-1])], device=outputs.device)
        counts = torch.tensor(packed.counts, device=outputs.device)
        own = [outputs[starts[counts > rank] + rank] for rank in packed.ranks.tolist()]
        return torch.cat([SequenceEncoder.read_out_sequence(self, part)[-1:] for part in own])
