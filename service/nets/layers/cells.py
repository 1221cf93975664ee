"""One timestep of each recurrent cell.

A cell gets the sums in front of its gates, W_ih x + W_hh h + b (a GRU: W_ih x + b_ih alone), the memory (h,) or (h, c)
of the step before, and its products; it returns the new memory. It may overwrite the sums, and changes nothing else.
`pack_cell` turns PyTorch's parameters into what a cell takes; the gates of an LSTM are then in the order i, f, o, g, so
that one call computes the three sigmoids.

LSTM: S. Hochreiter and J. Schmidhuber, "Long short-term memory" (1997), with the projection of H. Sak, A. Senior and
F. Beaufays (2014). GRU: K. Cho et al. (2014), with the reset gate after the matrix product, as cuDNN and PyTorch do.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from service.domain.operations import ComputeDtype
from service.nets.layers.packed_linear import PackedMatmul, pack, pack_float32

CellState: TypeAlias = tuple[Tensor, ...]


class CellWeights(NamedTuple):
    """The products of a cell: input (I -> gates*H), hidden (S -> gates*H), an LSTM's projection (H -> S) or None.

    `joined` takes input and h side by side, (I+S -> gates*H): one product where steps would make two. A GRU has none,
    nor has another arithmetic than float32, nor a cell that reads whole sequences only.
    """

    input: PackedMatmul
    hidden: PackedMatmul
    projection: PackedMatmul | None
    joined: PackedMatmul | None

    def sums(self, x: Tensor, h: Tensor) -> Tensor:
        """Return what a cell takes for one timestep: x (B, I), h (B, S) -> (B, gates*H)."""
        if self.joined is None:
            return self.onto(self.input(x), h)
        return self.joined(torch.cat([x, h], -1))

    def onto(self, share: Tensor, h: Tensor) -> Tensor:
        """Return the same from the input's share, (B, gates*H), which a whole sequence computes in one product."""
        return self.hidden.onto(share, h)


class GruWeights(CellWeights):
    """The products of a GRU, whose reset gate multiplies the hidden share of n alone."""

    def onto(self, share: Tensor, h: Tensor) -> Tensor:  # noqa: ARG002 - the cell takes it
        """Return the input's share."""
        return share


def rnn_tanh(sums: Tensor, memory: CellState, own: CellWeights) -> CellState:  # noqa: ARG001 - a cell's arguments
    """(B, H), ((B, H),) -> ((B, H),)."""
    return (sums.tanh_(),)


def rnn_relu(sums: Tensor, memory: CellState, own: CellWeights) -> CellState:  # noqa: ARG001 - likewise
    """(B, H), ((B, H),) -> ((B, H),)."""
    return (sums.relu_(),)


def lstm(sums: Tensor, memory: CellState, own: CellWeights) -> CellState:
    """(B, 4H) in the order i, f, o, g, ((B, S), (B, H)) -> ((B, S), (B, H)); S is H unless projected."""
    c = memory[1]
    size = c.shape[-1]
    i, f, o = sums[:, : 3 * size].sigmoid_().chunk(3, -1)
    g = sums[:, 3 * size :].tanh_()
    c = (f * c).addcmul_(i, g)
    h = torch.tanh(c).mul_(o)
    return (h if own.projection is None else own.projection(h)), c


def gru(sums: Tensor, memory: CellState, own: CellWeights) -> CellState:
    """(B, 3H) in the order r, z, n, without the hidden share, ((B, H),) -> ((B, H),)."""
    (h,) = memory
    hidden, size = own.hidden(h), h.shape[-1]
    r, z = sums[:, : 2 * size].add_(hidden[:, : 2 * size]).sigmoid_().chunk(2, -1)
    n = sums[:, 2 * size :].addcmul_(r, hidden[:, 2 * size :]).tanh_()
    # (1 - z) n + z h
    return (torch.lerp(n, h, z),)


CELLS: dict[str, Callable[[Tensor, CellState, CellWeights], CellState]] = {
    "rnn_tanh": rnn_tanh,
    "rnn_relu": rnn_relu,
    "lstm": lstm,
    "gru": gru,
}


def pack_cell(
    cell: str, parameters: Mapping[str, Tensor | None], arithmetic: ComputeDtype, *, steps: bool
) -> CellWeights:
    """Pack PyTorch's parameters: `weight_ih` (gates*H, I), `weight_hh` (gates*H, S), and the others or None.

    Args:
        steps: whether it runs step by step at all; a cell that reads whole sequences only is not joined.
    """
    found = {name: _ordered(cell, name, one) for name, one in parameters.items() if one is not None}
    inputs, hidden = found["weight_ih"], found["weight_hh"]
    bias, hidden_bias, projected = (found.get(name) for name in ("bias_ih", "bias_hh", "weight_hr"))
    projection = None if projected is None else pack(projected, None, arithmetic)
    if cell != "gru" and bias is not None and hidden_bias is not None:
        # A GRU's n multiplies only the hidden share; the others may as well add both biases at once.
        bias, hidden_bias = bias + hidden_bias, None
    if steps and cell != "gru" and arithmetic == "float32":
        joined, width = pack_float32(torch.cat([inputs, hidden], 1), bias), inputs.shape[1]
        return CellWeights(joined.columns(0, width, bias), joined.columns(width, None, None), projection, joined)
    kind = GruWeights if cell == "gru" else CellWeights
    return kind(pack(inputs, bias, arithmetic), pack(hidden, hidden_bias, arithmetic), projection, None)


def _ordered(cell: str, name: str, tensor: Tensor) -> Tensor:
    """Put an LSTM's gates, i, f, g, o in PyTorch, in the order i, f, o, g."""
    if cell != "lstm" or name == "weight_hr":
        return tensor
    i, f, g, o = tensor.chunk(4)
    return torch.cat([i, f, o, g])
