"""Cells with other activations than PyTorch's, and GRUs whose reset gate acts before the matrix product.

These are the cells of Keras and of older libraries. Those of PyTorch, in the module `cells`, are faster.
"""

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

from service.nets.config.cell_options import CellOptions
from service.nets.layers.activations import ActivationFunction, make_activation
from service.nets.layers.cells import CELLS, CellState, CellWeights

Cell: TypeAlias = Callable[[Tensor, CellState, CellWeights], CellState]

DEFAULTS = {"rnn_tanh": "tanh", "rnn_relu": "relu", "lstm": "tanh", "gru": "tanh"}


def make_cell(cell: str, options: CellOptions) -> Cell:
    """Return the cell of that name with these options. See the module `cells` for its arguments."""
    if options.standard_cell:
        return CELLS[cell]
    activation = make_activation(options.activation or DEFAULTS[cell])
    gate = make_activation(options.gate_activation or "sigmoid")
    if cell == "lstm":
        return _lstm(activation, gate)
    if cell == "gru":
        return _gru_reset_before(activation, gate) if options.reset == "before" else _gru(activation, gate)
    return _plain(activation)


def _plain(activation: ActivationFunction) -> Cell:
    def run(gates: Tensor, state: CellState, weights: CellWeights) -> CellState:  # noqa: ARG001 - a cell's arguments
        return (activation(gates),)

    return run


def _lstm(activation: ActivationFunction, gate: ActivationFunction) -> Cell:
    def run(gates: Tensor, state: CellState, weights: CellWeights) -> CellState:
        c = state[1]
        size = c.shape[-1]
        i, f, o = gate(gates[:, : 3 * size]).chunk(3, -1)
        c = f * c + i * activation(gates[:, 3 * size :])
        h = o * activation(c)
        return (h if weights.projection is None else weights.projection(h)), c

    return run


def _gru(activation: ActivationFunction, gate: ActivationFunction) -> Cell:
    def run(gates: Tensor, state: CellState, weights: CellWeights) -> CellState:
        (h,) = state
        hidden, size = weights.hidden(h), h.shape[-1]
        r, z = gate(gates[:, : 2 * size] + hidden[:, : 2 * size]).chunk(2, -1)
        n = activation(gates[:, 2 * size :] + r * hidden[:, 2 * size :])
        return (torch.lerp(n, h, z),)

    return run


def _gru_reset_before(activation: ActivationFunction, gate: ActivationFunction) -> Cell:
    def run(gates: Tensor, state: CellState, weights: CellWeights) -> CellState:
        (h,) = state
        size, candidate = h.shape[-1], weights.candidate
        assert candidate is not None  # noqa: S101 for the type checker: `pack_cell` packs it
        r, z = gate(weights.hidden.addmm(gates[:, : 2 * size].contiguous(), h)).chunk(2, -1)
        n = activation(candidate.addmm(gates[:, 2 * size :].contiguous(), r * h))
        return (torch.lerp(n, h, z),)

    return run
