"""Cells that a file describes, where names and shapes of tensors do not determine them."""

from collections.abc import Sequence
from dataclasses import replace

from service.tooling.formats.network import SavedLayer
from service.tooling.inspect.recurrent_layers import RecurrentGroup

#: The option of a layer that states its cell: `mode` of PyTorch's recurrent layers, `nonlinearity` of its cells.
CELLS = {"RNN_TANH": "rnn_tanh", "RNN_RELU": "rnn_relu", "tanh": "rnn_tanh", "relu": "rnn_relu"}

#: Classes of PyTorch's recurrent layers.
KINDS = {"RNN", "LSTM", "GRU", "RNNCell", "LSTMCell", "GRUCell"}


def with_known_cells(groups: Sequence[RecurrentGroup], layers: Sequence[SavedLayer]) -> list[RecurrentGroup]:
    """Return the groups; the cell of a plain recurrent layer becomes `rnn_tanh` or `rnn_relu` if the file says so."""
    known = {layer.name: _cell(layer) for layer in layers if layer.kind in {"RNN", "RNNCell"}}
    return [
        replace(group, cell=known.get(group.prefix.removesuffix(".")) or group.cell) if group.cell == "rnn" else group
        for group in groups
    ]


def _cell(layer: SavedLayer) -> str | None:
    return CELLS.get(str(layer.options.get("mode"))) or CELLS.get(str(layer.options.get("nonlinearity")))


def tell_cells(groups: Sequence[RecurrentGroup], layers: Sequence[SavedLayer]) -> bool:
    """Return whether the file describes each recurrent group as a layer of PyTorch, whose cells are known."""
    described = {layer.name for layer in layers if layer.kind in KINDS}
    return bool(groups) and all(group.prefix.removesuffix(".") in described for group in groups)
