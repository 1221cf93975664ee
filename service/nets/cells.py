"""One timestep of each recurrent cell.

A cell gets `gates`, the input's share W_ih x + b_ih (which a whole sequence computes in one product), the memory
(h,) or (h, c) of the step before, and its products; it returns the new memory. It may overwrite `gates`, and changes
nothing else. `pack_cell` turns PyTorch's parameters into what a cell takes; the gates of an LSTM are then in the order
i, f, o, g, so that one call computes the three sigmoids.

LSTM: S. Hochreiter and J. Schmidhuber, "Long short-term memory" (1997), with the projection of H. Sak, A. Senior and
F. Beaufays (2014). GRU: K. Cho et al. (2014), with the reset gate after the matrix product, as cuDNN and PyTorch do.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from service.nets.linear import Product, pack
from service.types import Arithmetic

Memory: TypeAlias = tuple[Tensor, ...]


class Recurrent(NamedTuple):
    """The products of a cell: input (I -> gates*H), hidden (S -> gates*H), an LSTM's projection (H -> S) or None."""

    input: Product
    hidden: Product
    projection: Product | None


def rnn_tanh(gates: Tensor, memory: Memory, own: Recurrent) -> Memory:
    """(B, H), ((B, H),) -> ((B, H),)."""
    return (own.hidden.onto(gates, memory[0]).tanh_(),)


def rnn_relu(gates: Tensor, memory: Memory, own: Recurrent) -> Memory:
    """(B, H), ((B, H),) -> ((B, H),)."""
    return (own.hidden.onto(gates, memory[0]).relu_(),)


def lstm(gates: Tensor, memory: Memory, own: Recurrent) -> Memory:
    """(B, 4H) in the order i, f, o, g, ((B, S), (B, H)) -> ((B, S), (B, H)); S is H unless projected."""
    h, c = memory
    gates, size = own.hidden.onto(gates, h), c.shape[-1]
    i, f, o = gates[:, : 3 * size].sigmoid_().chunk(3, -1)
    g = gates[:, 3 * size :].tanh_()
    c = (f * c).addcmul_(i, g)
    h = torch.tanh(c).mul_(o)
    return (h if own.projection is None else own.projection(h)), c


def gru(gates: Tensor, memory: Memory, own: Recurrent) -> Memory:
    """(B, 3H) in the order r, z, n, ((B, H),) -> ((B, H),)."""
    (h,) = memory
    hidden, size = own.hidden(h), h.shape[-1]
    r, z = gates[:, : 2 * size].add_(hidden[:, : 2 * size]).sigmoid_().chunk(2, -1)
    n = gates[:, 2 * size :].addcmul_(r, hidden[:, 2 * size :]).tanh_()
    # (1 - z) n + z h
    return (torch.lerp(n, h, z),)


CELLS: dict[str, Callable[[Tensor, Memory, Recurrent], Memory]] = {
    "rnn_tanh": rnn_tanh,
    "rnn_relu": rnn_relu,
    "lstm": lstm,
    "gru": gru,
}


def pack_cell(cell: str, parameters: Mapping[str, Tensor | None], arithmetic: Arithmetic) -> Recurrent:
    """Pack PyTorch's parameters: `weight_ih` (gates*H, I), `weight_hh` (gates*H, S), and the others or None."""
    found = {name: _ordered(cell, name, one) for name, one in parameters.items() if one is not None}
    bias, hidden_bias, projection = (found.get(name) for name in ("bias_ih", "bias_hh", "weight_hr"))
    if cell != "gru" and bias is not None and hidden_bias is not None:
        # A GRU's n multiplies only the hidden share; the others may as well add both biases at once.
        bias, hidden_bias = bias + hidden_bias, None
    return Recurrent(
        pack(found["weight_ih"], bias, arithmetic),
        pack(found["weight_hh"], hidden_bias, arithmetic),
        None if projection is None else pack(projection, None, arithmetic),
    )


def _ordered(cell: str, name: str, tensor: Tensor) -> Tensor:
    """Put an LSTM's gates, i, f, g, o in PyTorch, in the order i, f, o, g."""
    if cell != "lstm" or name == "weight_hr":
        return tensor
    i, f, g, o = tensor.chunk(4)
    return torch.cat([i, f, o, g])
