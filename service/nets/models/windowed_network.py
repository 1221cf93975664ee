"""What networks that read windows of inputs have in common, see `window.py`."""

from abc import abstractmethod

from torch import Tensor

from service.nets.layers.feed_forward import FeedForward
from service.nets.layers.rnn_stack import RnnStack, State
from service.nets.models.window import PackedWindows


class WindowedNetwork:
    """Base class of networks whose recurrent layers read whole windows, from the initial state."""

    rnn: RnnStack
    head: FeedForward

    @abstractmethod
    def _pack(self, state: State) -> PackedWindows:
        """Return the windows of a state, packed."""

    @abstractmethod
    def _inputs(self, packed: PackedWindows) -> Tensor:
        """Return what the recurrent layers read of packed windows."""

    def recurrent_state(self, state: State) -> State:
        """Return the recurrent tensors after the last input of each window, (B, size) each."""
        packed = self._pack(state)
        after = self._run(packed)[1]
        return {spec.name: after[spec.name][packed.ranks] for spec in self.rnn.layout.recurrent_state()}

    def _read_part(self, state: State) -> Tensor:
        """Return the features (B, D) at the end of each window."""
        packed = self._pack(state)
        features: Tensor = self.head(self._read_out(self._run(packed)[0], packed))
        return features

    def _read_out(self, outputs: Tensor, packed: PackedWindows) -> Tensor:
        """Return what the head reads (B, O) of the outputs (n, O) of packed windows: those at their ends."""
        return outputs[packed.last]

    def _run(self, packed: PackedWindows) -> tuple[Tensor, State]:
        x = self._inputs(packed)
        return self.rnn.packed_sequence(x, packed.counts, self.rnn.initial_state(packed.counts[0], x.device))
