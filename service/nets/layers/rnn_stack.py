"""Stacked recurrent layers as a function (input, state) -> (output, state).

The output of a layer's cell passes through optional layer normalisation (J. Ba, J. Kiros and G. Hinton, "Layer
normalization", 2016) and an optional connection: residual, h + x, or highway, g h + (1 - g) x with
g = sigmoid(W x + b) (R. Srivastava, K. Greff and J. Schmidhuber, "Highway networks", 2015). A layer whose output is not
as wide as its input has no connection. The state is that of the cells, before normalisation and connection.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import TypeAlias

import torch
from torch import Tensor, nn

from service.domain.operations import ComputeDtype
from service.nets.config.rnn_spec import GATES, LayerSpec, RnnSpec, StateSpec
from service.nets.layers.activations import apply_by_row
from service.nets.layers.cells import CellState, CellWeights, pack_cell
from service.nets.layers.convolution import ConvolutionStack
from service.nets.layers.custom_cells import Cell, make_cell
from service.nets.layers.dense import Linear
from service.nets.layers.feed_forward import FeedForward
from service.nets.layers.packed_linear import Packable

State: TypeAlias = dict[str, Tensor]

#: The parameters of a layer in each direction; some are optional.
PARAMETERS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")


@dataclass(slots=True)
class _Layer:
    """One recurrent layer, and the layers around it. `weights` has one entry for each direction."""

    name: str
    spec: LayerSpec
    cell: Cell
    has_c: bool
    residual: bool
    before: FeedForward | None
    norm: nn.LayerNorm | None
    highway: Linear | None
    weights: dict[str, CellWeights]


class RnnStack(Packable):
    """Stacked recurrent layers with PyTorch's parameter names, uninitialised until a state dict is loaded.

    Further parameters of layer k: `layer_norm_l{k}.weight/.bias`, `highway_l{k}.weight/.bias`, those of the
    feed-forward layers in front of it, `before_l{k}.{i}.*`, and a learned initial state, `h0_l{k}` and `c0_l{k}`. Those
    of the convolutions in front of all layers are `convolution.{i}.*`.
    """

    def __init__(self, layout: RnnSpec) -> None:
        super().__init__()
        self.layout = layout
        self._steps = not layout.reads_ahead
        self.convolution = ConvolutionStack(layout) if layout.convolution else None
        self._layers = [self._add_layer(index, layer) for index, layer in enumerate(layout.layers)]
        self._initial: State = {}

    def pack(self, dtype: ComputeDtype) -> None:
        for layer in self._layers:
            for direction in layer.spec.directions:
                parameters = {
                    name: self._parameters.pop(f"{name}_{layer.name}{direction}", None) for name in PARAMETERS
                }
                layer.weights[direction] = pack_cell(
                    layer.spec.cell, parameters, dtype, steps=self._steps, reset=layer.spec.options.reset
                )
        if self.layout.learned_state:
            for spec in self.layout.recurrent_state():
                initial = self._parameters.pop(_initial_name(spec.name))
                assert initial is not None  # noqa: S101 for the type checker: `_add_layer` registers it
                self._initial[spec.name] = initial

    @property
    def specs(self) -> list[StateSpec]:
        """The tensors of the state."""
        return self.layout.state()

    def initial_state(self, batch: int, device: torch.device | None = None) -> State:
        """Return the state before the first timestep, (batch, size) each, on the CPU by default."""
        target = device or torch.device("cpu")
        return {
            spec.name: self._initial[spec.name].to(target).repeat(batch, 1)
            if spec.name in self._initial
            else torch.zeros(batch, prod(spec.shape), device=device)
            for spec in self.specs
        }

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Run one timestep: x (B, I), state (B, size) each -> output (B, O), new state.

        Raises ValueError if a layer reads later timesteps.
        """
        if not self._steps:
            raise ValueError("a stack that reads later timesteps reads whole sequences only")
        new_state: State = {}
        ready = None
        if self.convolution is not None:
            x, ready, new_state = self.convolution.step(x, state)
        for layer in self._layers:
            if layer.before is not None:
                x = layer.before(x)
            weights, cell_state = layer.weights[""], _cell_state(layer, state, "")
            after = layer.cell(weights.preactivations(x, cell_state[0]), cell_state, weights)
            if ready is not None:
                after = _advance(ready, after, cell_state)
            _put(new_state, layer.name, after)
            x = _connect(layer, x, after[0])
        return x, new_state

    def sequence(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Run all timesteps, layer after layer: x (B, T, I), state -> outputs (B, T, O), final state."""
        batch, timesteps = x.shape[:2]
        outputs, after = self.packed_sequence(x.transpose(0, 1).flatten(0, 1), [batch] * timesteps, state)
        return outputs.view(timesteps, batch, -1).transpose(0, 1).contiguous(), after

    def packed_sequence(self, x: Tensor, counts: Sequence[int], state: State) -> tuple[Tensor, State]:
        """Run sequences of different lengths, the longest first, as one tensor of all timesteps.

        The `counts` are the numbers of sequences that have a first, a second, ... timestep. The rows of `x` (n, I) are
        those of the first timestep, followed by those of the second, and so on; n is the sum of the counts. The state
        is (B, size) each. Returns the outputs (n, O) in the same order, and the state after the end of each sequence.
        """
        new_state: State = {}
        ready = None
        if self.convolution is not None:
            x, ready, new_state = self.convolution.packed_sequence(x, counts, state)
        for layer in self._layers:
            if layer.before is not None:
                x = layer.before(x)
            outputs = []
            for direction in layer.spec.directions:
                weights, initial = layer.weights[direction], _cell_state(layer, state, direction)
                timesteps = torch.split(weights.input(x), [*counts])
                run = _run_backwards if direction else _run_forwards
                parts, cell_state = run(layer.cell, timesteps, initial, weights, ready)
                outputs.append(torch.cat(parts))
                _put(new_state, f"{layer.name}{direction}", cell_state)
            x = _connect(layer, x, outputs[0] if len(outputs) == 1 else torch.cat(outputs, -1))
        return x, new_state

    def _add_layer(self, index: int, spec: LayerSpec) -> _Layer:
        """Register the parameters of a layer and return it."""
        name, size = f"l{index}", spec.output_size
        for direction in spec.directions:
            self._add_parameters(f"{name}{direction}", spec)
        before = FeedForward(spec.reads, spec.before) if spec.before else None
        norm = nn.LayerNorm(size) if spec.layer_norm else None
        highway = Linear(size, size) if spec.connection == "highway" and spec.connected else None
        for kind, module in (("before", before), ("layer_norm", norm), ("highway", highway)):
            if module is not None:
                self.add_module(f"{kind}_{name}", module)
        cell, residual = make_cell(spec.cell, spec.options), spec.connected and highway is None
        return _Layer(name, spec, cell, spec.cell == "lstm", residual, before, norm, highway, {})

    def _add_parameters(self, suffix: str, spec: LayerSpec) -> None:
        """Register the parameters of one direction of a layer."""
        rows = GATES[spec.cell] * spec.hidden_size
        shapes: dict[str, tuple[int, ...]] = {
            f"weight_ih_{suffix}": (rows, spec.input_size),
            f"weight_hh_{suffix}": (rows, spec.state_size),
        }
        if spec.bias:
            shapes[f"bias_ih_{suffix}"] = (rows,)
        if spec.bias and spec.options.bias == "double":
            shapes[f"bias_hh_{suffix}"] = (rows,)
        if spec.proj_size:
            shapes[f"weight_hr_{suffix}"] = (spec.proj_size, spec.hidden_size)
        if self.layout.learned_state:
            shapes[f"h0_{suffix}"] = (spec.state_size,)
        if self.layout.learned_state and spec.cell == "lstm":
            shapes[f"c0_{suffix}"] = (spec.hidden_size,)
        for name, shape in shapes.items():
            self.register_parameter(name, nn.Parameter(torch.empty(shape)))


def _run_forwards(
    cell: Cell, timesteps: Sequence[Tensor], initial: CellState, weights: CellWeights, ready: list[Tensor] | None
) -> tuple[list[Tensor], CellState]:
    """Run the timesteps in order. Return the outputs of each, and the final state."""
    outputs, cell_state, ended = [], initial, []
    for index, inputs in enumerate(timesteps):
        count = len(inputs)
        if count < len(cell_state[0]):  # the shortest sequences have ended
            ended.append([part[count:] for part in cell_state])
            cell_state = tuple(part[:count] for part in cell_state)
        after = cell(weights.add_hidden(inputs, cell_state[0]), cell_state, weights)
        cell_state = after if ready is None else _advance(ready[index], after, cell_state)
        outputs.append(cell_state[0])
    if ended:
        cell_state = tuple(torch.cat(parts) for parts in zip(cell_state, *reversed(ended), strict=True))
    return outputs, cell_state


def _run_backwards(
    cell: Cell, timesteps: Sequence[Tensor], initial: CellState, weights: CellWeights, ready: list[Tensor] | None
) -> tuple[list[Tensor], CellState]:
    """Run the timesteps from the last to the first. Return the outputs of each, in order, and the final state."""
    outputs, cell_state = [], tuple(part[: len(timesteps[-1])] for part in initial)
    for index in reversed(range(len(timesteps))):
        inputs = timesteps[index]
        before, count = len(cell_state[0]), len(inputs)
        if count > before:  # shorter sequences begin with their last timestep
            pairs = zip(cell_state, initial, strict=True)
            cell_state = tuple(torch.cat([part, first[before:count]]) for part, first in pairs)
        after = cell(weights.add_hidden(inputs, cell_state[0]), cell_state, weights)
        cell_state = after if ready is None else _advance(ready[index], after, cell_state)
        outputs.append(cell_state[0])
    return outputs[::-1], cell_state


def _connect(layer: _Layer, x: Tensor, output: Tensor) -> Tensor:
    """Normalise and connect a layer's output (..., O), given its input (..., I)."""
    if layer.norm is not None:
        output = layer.norm(output)
    if layer.highway is not None:
        gate = apply_by_row(torch.sigmoid, layer.highway(x))
        return gate * output + (1 - gate) * x
    return output + x if layer.residual else output


def _advance(ready: Tensor, after: CellState, before: CellState) -> CellState:
    """Return the new state of the rows that read a timestep (B, 1), and the state before of the others."""
    return tuple(torch.where(ready, new, old) for new, old in zip(after, before, strict=True))


def _initial_name(state: str) -> str:
    """Return the name of the parameter that has the initial value of a state tensor: `h_l0` -> `h0_l0`."""
    return f"{state[0]}0{state[1:]}"


def _cell_state(layer: _Layer, state: State, direction: str) -> CellState:
    suffix = f"{layer.name}{direction}"
    h = state[f"h_{suffix}"]
    return (h, state[f"c_{suffix}"]) if layer.has_c else (h,)


def _put(state: State, suffix: str, cell_state: CellState) -> None:
    for name, value in zip(("h", "c"), cell_state, strict=False):
        state[f"{name}_{suffix}"] = value
