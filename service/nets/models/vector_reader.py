"""Layers that read the vector which a sequence begins with: its initial state, its first input, or both.

    v'        = layers(v)
    h_l0, ... = activation(initial.h_l0 v'), ...
    x_0       = first_input(v'), read in front of all tokens

Parameters: `layers.{i}.*`, `initial.{state}.weight/bias`, `first_input.{i}.*`.

O. Vinyals et al., "Show and tell: a neural image caption generator" (2015), reads the image as the first input.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from service.nets.config.language_model_config import VectorConfig
from service.nets.config.rnn_spec import StateSpec
from service.nets.layers.activations import make_activation
from service.nets.layers.dense import Linear
from service.nets.layers.feed_forward import FeedForward
from service.nets.layers.rnn_stack import State


class VectorReader(nn.Module):
    """Layers of a configuration, uninitialised until a state dict is loaded. `states` come from the vector."""

    def __init__(self, config: VectorConfig, states: Sequence[StateSpec]) -> None:
        super().__init__()
        self.layers = FeedForward(config.size, config.layers)
        self.initial = nn.ModuleDict({spec.name: Linear(config.width, spec.shape[0]) for spec in states})
        first = config.first_input
        self.first_input = None if first is None else FeedForward(config.width, first)
        self._activation = make_activation(config.activation)

    def forward(self, vector: Tensor) -> tuple[State, Tensor | None]:
        """Return the tensors of the initial state, (B, size) each, and the first input (B, E), of vectors (B, N)."""
        read = self.layers(vector)
        state = {name: self._activation(layer(read)) for name, layer in self.initial.items()}
        return state, None if self.first_input is None else self.first_input(read)
