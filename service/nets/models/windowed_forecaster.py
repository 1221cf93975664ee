"""Forecaster that reads windows: the features after a row are those of the last N rows, from the initial state.

A session stores the window in place of the recurrent tensors, see `window.py`, so the layers may read both directions.
Parameters are those of `Forecaster`.
"""

import torch
from torch import Tensor

from service.nets.config.forecaster_config import ForecasterConfig
from service.nets.layers.rnn_stack import State
from service.nets.models.forecaster import Forecaster
from service.nets.models.window import PackedWindows, empty_window, pack_windows, push, read_windows
from service.nets.models.windowed_network import WindowedNetwork


class WindowedForecaster(WindowedNetwork, Forecaster):
    """Network of a configuration with a window, uninitialised until a state dict is loaded."""

    def __init__(self, config: ForecasterConfig) -> None:
        super().__init__(config)
        self._size = config.rows_per_input

    def initial_state(self, batch: int) -> State:
        """Return empty windows, and zeros as their features."""
        features = torch.zeros(batch, self.config.features_size)
        return {**empty_window(batch, self._size, self.config.width), "features": features}

    def step(self, x: Tensor, state: State) -> State:
        """Feed one row: x (B, W), state -> new window and its features."""
        return self.sequence(x[:, None], state)

    def sequence(self, x: Tensor, state: State) -> State:
        """Feed T >= 1 rows at once: x (B, T, W), state -> window after the last and its features."""
        after = push(state, x)
        return {**after, "features": read_windows(after, self._size, self._read_part)}

    def _read_part(self, state: State) -> Tensor:
        if self.decoder is None:
            return super()._read_part(state)
        return self._decoder_start(self.recurrent_state(state), state["window"][:, -self.config.width :])

    def _read_out(self, outputs: Tensor, packed: PackedWindows) -> Tensor:
        if not self.config.reads_ends:
            return super()._read_out(outputs, packed)
        half = outputs.shape[1] // 2
        # The reverse direction has read all at the first row. The first rows of all windows come first, by their ranks.
        return torch.cat([outputs[packed.last, :half], outputs[packed.ranks, half:]], -1)

    def _pack(self, state: State) -> PackedWindows:
        return pack_windows(state, self.config.width, None)

    def _inputs(self, packed: PackedWindows) -> Tensor:
        return self._project(packed.inputs)
