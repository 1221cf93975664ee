"""Stacked recurrent layers as a function (input, state) -> (output, state).

The output of a layer's cell passes through optional layer normalisation (J. Ba, J. Kiros and G. Hinton, "Layer
normalization", 2016) and an optional connection: residual, h + x, or highway, g h + (1 - g) x with
g = sigmoid(W x + b) (R. Srivastava, K. Greff and J. Schmidhuber, "Highway networks", 2015). A layer whose output is not
as wide as its input has no connection. The state is that of the cells, before normalisation and connection.
"""

from collections.abc import Sequence
from typing import TypeAlias

import torch
from torch import Tensor, nn

from service.domain.operations import ComputeDtype
from service.nets.config.rnn_spec import GATES, RnnSpec, StateSpec
from service.nets.layers.activations import apply_by_row
from service.nets.layers.cells import CELLS, CellState, CellWeights, pack_cell
from service.nets.layers.dense import Linear
from service.nets.layers.packed_linear import Packable

State: TypeAlias = dict[str, Tensor]

#: The parameters of a layer in each direction; some are optional.
PARAMETERS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")


class RnnStack(Packable):
    """Stacked recurrent layers with PyTorch's parameter names, uninitialised until a state dict is loaded.

    Further parameters: `layer_norm_l{k}.weight/.bias`, `highway_l{k}.weight/.bias`.
    """

    def __init__(self, layout: RnnSpec) -> None:
        super().__init__()
        self.layout = layout
        self._cell = CELLS[layout.cell]
        self._packed: dict[str, CellWeights] = {}
        for layer in range(layout.depth):
            for direction in layout.directions:
                self._add_cell(layer, direction)
            size = layout.output_size(layer)
            if layout.layer_norm:
                self.add_module(f"layer_norm_l{layer}", nn.LayerNorm(size))
            if layout.connection == "highway" and layout.connected(layer):
                self.add_module(f"highway_l{layer}", Linear(size, size))

    def pack(self, dtype: ComputeDtype) -> None:
        for layer in range(self.layout.depth):
            for direction in self.layout.directions:
                suffix = f"l{layer}{direction}"
                parameters = {name: self._parameters.pop(f"{name}_{suffix}", None) for name in PARAMETERS}
                self._packed[suffix] = pack_cell(
                    self.layout.cell, parameters, dtype, steps=not self.layout.bidirectional
                )

    @property
    def specs(self) -> list[StateSpec]:
        """The tensors of the state."""
        return self.layout.state()

    def initial_state(self, batch: int, device: torch.device | None = None) -> State:
        """Return zeros, (batch, size) each, on the CPU by default."""
        return {spec.name: torch.zeros(batch, *spec.shape, device=device) for spec in self.specs}

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Run one timestep: x (B, I), state (B, size) each -> output (B, O), new state.

        Raises ValueError if the stack is bidirectional.
        """
        if self.layout.bidirectional:
            raise ValueError("a bidirectional stack reads whole sequences only")
        new_state: State = {}
        for layer in range(self.layout.depth):
            weights, cell_state = self._packed[f"l{layer}"], self._cell_state(state, f"l{layer}")
            cell_state = self._cell(weights.preactivations(x, cell_state[0]), cell_state, weights)
            _put(new_state, f"l{layer}", cell_state)
            x = self._connect(layer, x, cell_state[0])
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
        for layer in range(self.layout.depth):
            outputs = [
                self._direction(x, counts, state, new_state, f"l{layer}{name}") for name in self.layout.directions
            ]
            x = self._connect(layer, x, outputs[0] if len(outputs) == 1 else torch.cat(outputs, -1))
        return x, new_state

    def _direction(self, x: Tensor, counts: Sequence[int], state: State, new_state: State, suffix: str) -> Tensor:
        """Run one direction of a layer over (n, I), put its final state into `new_state`, return (n, S)."""
        weights, initial = self._packed[suffix], self._cell_state(state, suffix)
        timesteps = torch.split(weights.input(x), [*counts])
        if suffix.endswith("_reverse"):
            outputs, cell_state = self._run_backwards(timesteps, initial, weights)
        else:
            outputs, cell_state = self._run_forwards(timesteps, initial, weights)
        _put(new_state, suffix, cell_state)
        return torch.cat(outputs)

    def _run_forwards(
        self, timesteps: Sequence[Tensor], initial: CellState, weights: CellWeights
    ) -> tuple[list[Tensor], CellState]:
        """Run the timesteps in order. Return the outputs of each, and the final state."""
        outputs, cell_state, ended = [], initial, []
        for inputs in timesteps:
            count = len(inputs)
            if count < len(cell_state[0]):  # the shortest sequences have ended
                ended.append([part[count:] for part in cell_state])
                cell_state = tuple(part[:count] for part in cell_state)
            cell_state = self._cell(weights.add_hidden(inputs, cell_state[0]), cell_state, weights)
            outputs.append(cell_state[0])
        if ended:
            cell_state = tuple(torch.cat(parts) for parts in zip(cell_state, *reversed(ended), strict=True))
        return outputs, cell_state

    def _run_backwards(
        self, timesteps: Sequence[Tensor], initial: CellState, weights: CellWeights
    ) -> tuple[list[Tensor], CellState]:
        """Run the timesteps from the last to the first. Return the outputs of each, in order, and the final state."""
        outputs, cell_state = [], tuple(part[: len(timesteps[-1])] for part in initial)
        for inputs in reversed(timesteps):
            before, count = len(cell_state[0]), len(inputs)
            if count > before:  # shorter sequences begin with their last timestep
                pairs = zip(cell_state, initial, strict=True)
                cell_state = tuple(torch.cat([part, first[before:count]]) for part, first in pairs)
            cell_state = self._cell(weights.add_hidden(inputs, cell_state[0]), cell_state, weights)
            outputs.append(cell_state[0])
        return outputs[::-1], cell_state

    def _connect(self, layer: int, x: Tensor, output: Tensor) -> Tensor:
        """Normalise and connect a layer's output (..., O), given its input (..., I)."""
        layout = self.layout
        if layout.layer_norm:
            output = self._modules[f"layer_norm_l{layer}"](output)  # type: ignore[misc]  # the constructor adds it
        if not layout.connected(layer):
            return output
        if layout.connection == "residual":
            return output + x
        gate = apply_by_row(torch.sigmoid, self._modules[f"highway_l{layer}"](x))  # type: ignore[misc]  # likewise
        return gate * output + (1 - gate) * x

    def _add_cell(self, layer: int, direction: str) -> None:
        layout, suffix = self.layout, f"l{layer}{direction}"
        hidden, rows = layout.hidden_sizes[layer], GATES[layout.cell] * layout.hidden_sizes[layer]
        shapes: dict[str, tuple[int, ...]] = {
            "weight_ih": (rows, layout.input_size_of(layer)),
            "weight_hh": (rows, layout.state_size(layer)),
        }
        if layout.bias:
            shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
        if layout.proj_size:
            shapes["weight_hr"] = (layout.proj_size, hidden)
        for name, shape in shapes.items():
            self.register_parameter(f"{name}_{suffix}", nn.Parameter(torch.empty(shape)))

    def _cell_state(self, state: State, suffix: str) -> CellState:
        h = state[f"h_{suffix}"]
        return (h, state[f"c_{suffix}"]) if self.layout.cell == "lstm" else (h,)


def _put(state: State, suffix: str, cell_state: CellState) -> None:
    for name, value in zip(("h", "c"), cell_state, strict=False):
        state[f"{name}_{suffix}"] = value
