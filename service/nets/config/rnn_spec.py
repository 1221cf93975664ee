"""Specification of stacked recurrent layers: their sizes, connections and state tensors. Needs no torch.

Configurations are checked with it before a weight is read, and `RnnStack` is built from it.
"""

from dataclasses import dataclass
from typing import Literal

Cell = Literal["rnn_tanh", "rnn_relu", "lstm", "gru"]
Connection = Literal["none", "residual", "highway"]
DType = Literal["float32", "bfloat16"]

GATES: dict[str, int] = {"rnn_tanh": 1, "rnn_relu": 1, "gru": 3, "lstm": 4}


@dataclass(frozen=True, slots=True)
class StateSpec:
    """One tensor of a sequence's state, float32 in every compute dtype; `shape` is without the batch."""

    name: str
    shape: tuple[int, ...]
    dtype: str = "float32"

    def to_dict(self) -> dict[str, object]:
        """Return the entry as config.json lists it."""
        return {"name": self.name, "shape": list(self.shape), "dtype": self.dtype}


@dataclass(frozen=True, slots=True)
class RnnSpec:
    """The sizes of stacked recurrent layers; `hidden_sizes` has one number per layer."""

    cell: Cell
    input_size: int
    hidden_sizes: tuple[int, ...]
    proj_size: int = 0
    bias: bool = True
    bidirectional: bool = False
    layer_norm: bool = False
    connection: Connection = "none"

    @property
    def depth(self) -> int:
        """The number of layers."""
        return len(self.hidden_sizes)

    @property
    def directions(self) -> tuple[str, ...]:
        """The suffixes of the parameter names: one per direction."""
        return ("", "_reverse") if self.bidirectional else ("",)

    def state_size(self, layer: int) -> int:
        """Return the size of `h` of one direction of a layer."""
        return self.proj_size or self.hidden_sizes[layer]

    def output_size(self, layer: int = -1) -> int:
        """Return the size of a layer's output, by default of the last one."""
        return self.state_size(layer) * len(self.directions)

    def input_size_of(self, layer: int) -> int:
        """Return the size of a layer's input."""
        return self.input_size if layer == 0 else self.output_size(layer - 1)

    def connected(self, layer: int) -> bool:
        """Return whether a layer has the connection, which needs an output as wide as the input."""
        return self.connection != "none" and self.input_size_of(layer) == self.output_size(layer)

    def last_output_is_state(self) -> bool:
        """Return whether the stack's output is `h` of its last layer, unchanged."""
        return not (self.bidirectional or self.layer_norm or self.connected(self.depth - 1))

    def state(self) -> list[StateSpec]:
        """Return the recurrent tensors: `h_l0`, for an LSTM `c_l0`, then the next direction and the next layer."""
        specs: list[StateSpec] = []
        for layer, hidden in enumerate(self.hidden_sizes):
            for direction in self.directions:
                specs.append(StateSpec(f"h_l{layer}{direction}", (self.state_size(layer),)))
                if self.cell == "lstm":
                    specs.append(StateSpec(f"c_l{layer}{direction}", (hidden,)))
        return specs
