"""Specification of stacked recurrent layers: their sizes, connections and state tensors. Needs no torch.

Configurations are checked with it before a weight is read, and `RnnStack` is built from it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from service.nets.config.cell_options import CellOptions
from service.nets.config.convolution import ConvolutionConfig, warmup_timesteps
from service.nets.config.feed_forward import FeedForwardConfig, output_width

Cell = Literal["rnn_tanh", "rnn_relu", "lstm", "gru"]
Connection = Literal["none", "residual", "highway"]
DType = Literal["float32", "bfloat16"]

GATES: dict[str, int] = {"rnn_tanh": 1, "rnn_relu": 1, "gru": 3, "lstm": 4}
STANDARD = CellOptions()


@dataclass(frozen=True, slots=True)
class StateSpec:
    """One tensor of a sequence's state, float32 in every compute dtype; `shape` is without the batch.

    With a `maximum`, the numbers are whole ones from 0 to it.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str = "float32"
    maximum: int | None = None

    def to_dict(self) -> dict[str, object]:
        """Return the entry as config.json lists it."""
        return {"name": self.name, "shape": list(self.shape), "dtype": self.dtype}


@dataclass(frozen=True, slots=True)
class LayerSpec:
    """One recurrent layer. It reads `input_size` numbers, the output of the feed-forward layers `before` it."""

    cell: Cell
    input_size: int
    hidden_size: int
    proj_size: int
    bias: bool
    bidirectional: bool
    layer_norm: bool
    connection: Connection
    options: CellOptions
    before: tuple[FeedForwardConfig, ...]
    reads: int

    @property
    def directions(self) -> tuple[str, ...]:
        """The suffixes of the parameter names: one per direction."""
        return ("", "_reverse") if self.bidirectional else ("",)

    @property
    def state_size(self) -> int:
        """The size of `h` of one direction."""
        return self.proj_size or self.hidden_size

    @property
    def output_size(self) -> int:
        """The size of the output."""
        return self.state_size * len(self.directions)

    @property
    def connected(self) -> bool:
        """Whether the layer has the connection, which needs an output as wide as the input."""
        return self.connection != "none" and self.input_size == self.output_size

    @property
    def state(self) -> Iterator[tuple[str, str, int]]:
        """The kinds (h, c), directions and sizes of the layer's state."""
        for direction in self.directions:
            yield "h", direction, self.state_size
            if self.cell == "lstm":
                yield "c", direction, self.hidden_size


@dataclass(frozen=True, slots=True)
class RnnSpec:
    """The sizes of stacked recurrent layers; `hidden_sizes` has one number per layer.

    `further` are stacks of other layers that read the output of this one. `reads` is the width of what the convolutions
    and the feed-forward layers in front of the first layer read, `input_size` by default.
    """

    cell: Cell
    input_size: int
    hidden_sizes: tuple[int, ...]
    proj_size: int = 0
    bias: bool = True
    bidirectional: bool = False
    layer_norm: bool = False
    connection: Connection = "none"
    options: CellOptions = STANDARD
    input_layers: tuple[FeedForwardConfig, ...] = ()
    convolution: tuple[ConvolutionConfig, ...] = ()
    learned_state: bool = False
    reads: int | None = None
    further: tuple["RnnSpec", ...] = ()

    @property
    def layers(self) -> tuple[LayerSpec, ...]:
        """All layers, from the first to the last."""
        layers: list[LayerSpec] = []
        width = self.convolved_size
        for stack in (self, *self.further):
            for index, hidden_size in enumerate(stack.hidden_sizes):
                before = stack.input_layers if index == 0 else ()
                layer = stack._layer(output_width(before, width), hidden_size, before, width)
                layers.append(layer)
                width = layer.output_size
        return tuple(layers)

    def _layer(self, inputs: int, hidden: int, before: tuple[FeedForwardConfig, ...], reads: int) -> LayerSpec:
        cell = (self.cell, inputs, hidden, self.proj_size, self.bias, self.bidirectional)
        return LayerSpec(*cell, self.layer_norm, self.connection, self.options, before, reads)

    @property
    def read_size(self) -> int:
        """The width of the input of the stack."""
        return self.input_size if self.reads is None else self.reads

    @property
    def convolved_size(self) -> int:
        """The width of the output of the convolutions."""
        return self.convolution[-1].channels if self.convolution else self.read_size

    @property
    def warmup(self) -> int:
        """The number of first timesteps that the recurrent layers do not read."""
        return warmup_timesteps(self.convolution)

    @property
    def depth(self) -> int:
        """The number of layers."""
        return sum(len(stack.hidden_sizes) for stack in (self, *self.further))

    @property
    def directions(self) -> tuple[str, ...]:
        """The suffixes of the parameter names of the last layer: one per direction."""
        return self.layers[-1].directions

    @property
    def reads_backwards(self) -> bool:
        """Whether any layer reads in both directions."""
        return any(stack.bidirectional for stack in (self, *self.further))

    @property
    def reads_ahead(self) -> bool:
        """Whether an output depends on later timesteps, so that whole sequences are read."""
        return self.reads_backwards or any(layer.reads_ahead for layer in self.convolution)

    def state_size(self, layer: int) -> int:
        """Return the size of `h` of one direction of a layer."""
        return self.layers[layer].state_size

    def output_size(self, layer: int = -1) -> int:
        """Return the size of a layer's output, by default of the last one."""
        return self.layers[layer].output_size

    def last_output_is_state(self) -> bool:
        """Return whether the stack's output is `h` of its last layer, unchanged."""
        last = self.layers[-1]
        return not (last.bidirectional or last.layer_norm or last.connected)

    def state(self) -> list[StateSpec]:
        """Return the tensors of the convolutions, then those of the recurrent layers."""
        return [*self.convolution_state(), *self.recurrent_state()]

    def recurrent_state(self) -> list[StateSpec]:
        """Return the recurrent tensors: `h_l0`, for an LSTM `c_l0`, then the next direction and the next layer."""
        return [
            StateSpec(f"{kind}_l{index}{direction}", (size,))
            for index, layer in enumerate(self.layers)
            for kind, direction, size in layer.state
        ]

    def convolution_state(self) -> list[StateSpec]:
        """Return the last inputs of each convolution, and how many timesteps were read while some give no output."""
        widths = [self.read_size, *(layer.channels for layer in self.convolution)]
        layers = zip(self.convolution, widths, strict=False)
        specs = [
            StateSpec(f"convolution_{index}", (layer.history, width))
            for index, (layer, width) in enumerate(layers)
            if layer.history
        ]
        return [*specs, StateSpec("timesteps_read", (1,))] if self.warmup else specs

    def reading(self, width: int) -> "RnnSpec":
        """Return the specification of the same layers, whose input has `width` numbers."""
        return replace(self, reads=width)
