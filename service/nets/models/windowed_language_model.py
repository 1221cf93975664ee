"""Language model that reads windows: the features after a token are those of the last N tokens, from the initial state.

A session stores the window in place of the recurrent tensors, see `window.py`. Parameters are those of `LanguageModel`.
"""

from torch import Tensor

from service.nets.config.language_model_config import LanguageModelConfig
from service.nets.layers.rnn_stack import State
from service.nets.models.language_model import LanguageModel
from service.nets.models.window import PackedWindows, empty_window, pack_windows, push, read_windows, unroll
from service.nets.models.windowed_network import WindowedNetwork


class WindowedLanguageModel(WindowedNetwork, LanguageModel):
    """Network of a configuration with a window, uninitialised until a state dict is loaded.

    Its recurrent state is the window; other tensors of a state are ignored.
    """

    def __init__(self, config: LanguageModelConfig) -> None:
        super().__init__(config)
        self._size = config.rows_per_input
        self._padding = None if config.padding is None else config.padding.side

    def initial_recurrent_state(self, batch: int) -> State:
        """Return empty windows."""
        return empty_window(batch, self._size)

    def step(self, ids: Tensor, state: State) -> tuple[Tensor, State]:
        """Feed one token: ids (B,), state -> features (B, D) of the window that it ends, new window."""
        after = push(state, ids[:, None, None])
        return self._read(after), after

    def sequence(self, ids: Tensor, state: State) -> tuple[Tensor, State]:
        """Feed T >= 1 tokens at once: ids (B, T), state -> features (B, T, D), window after the last."""
        batch, count = ids.shape
        before = unroll(state, ids.reshape(-1, 1), [count] * batch)
        features = self._read(push(before, ids.reshape(-1, 1, 1)))
        return features.view(batch, count, -1), push(state, ids[..., None])

    def _read(self, state: State) -> Tensor:
        return read_windows(state, self._size, self._read_part)

    def _pack(self, state: State) -> PackedWindows:
        return pack_windows(state, 1, self._padding)

    def _inputs(self, packed: PackedWindows) -> Tensor:
        return self._embed(packed.inputs[:, 0].long())
