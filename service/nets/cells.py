"""One timestep of each recurrent cell, with PyTorch's parameters and gate order.

A cell gets `gates`, the input's share W_ih x + b_ih (which a whole sequence computes in one product), the memory
(h,) or (h, c) of the step before, and its recurrent parameters; it returns the new memory. Nothing is kept or changed
in place.

LSTM: S. Hochreiter and J. Schmidhuber, "Long short-term memory" (1997), with the projection of H. Sak, A. Senior and
F. Beaufays (2014). GRU: K. Cho et al. (2014), with the reset gate after the matrix product, as cuDNN and PyTorch do.
"""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F

Memory: TypeAlias = tuple[Tensor, ...]


class Recurrent(NamedTuple):
    """What multiplies the memory: (gates*H, S), (gates*H,) or None, and an LSTM's projection (S, H) or None."""

    weight_hh: Tensor
    bias_hh: Tensor | None
    weight_hr: Tensor | None


def rnn_tanh(gates: Tensor, memory: Memory, own: Recurrent) -> Memory:
    """(B, H), ((B, H),) -> ((B, H),)."""
    return (torch.tanh(gates + F.linear(memory[0], own.weight_hh, own.bias_hh)),)


def rnn_relu(gates: Tensor, memory: Memory, own: Recurrent) -> Memory:
    """(B, H), ((B, H),) -> ((B, H),)."""
    return (torch.relu(gates + F.linear(memory[0], own.weight_hh, own.bias_hh)),)


def lstm(gates: Tensor, memory: Memory, own: Recurrent) -> Memory:
    """(B, 4H) in the order i, f, g, o, ((B, S), (B, H)) -> ((B, S), (B, H)); S is H unless projected."""
    h, c = memory
    i, f, g, o = (gates + F.linear(h, own.weight_hh, own.bias_hh)).chunk(4, -1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    h = torch.sigmoid(o) * torch.tanh(c)
    return (h if own.weight_hr is None else F.linear(h, own.weight_hr)), c


def gru(gates: Tensor, memory: Memory, own: Recurrent) -> Memory:
    """(B, 3H) in the order r, z, n, ((B, H),) -> ((B, H),)."""
    (h,) = memory
    input_r, input_z, input_n = gates.chunk(3, -1)
    hidden_r, hidden_z, hidden_n = F.linear(h, own.weight_hh, own.bias_hh).chunk(3, -1)
    r = torch.sigmoid(input_r + hidden_r)
    z = torch.sigmoid(input_z + hidden_z)
    n = torch.tanh(input_n + r * hidden_n)
    return ((1 - z) * n + z * h,)


CELLS: dict[str, Callable[[Tensor, Memory, Recurrent], Memory]] = {
    "rnn_tanh": rnn_tanh,
    "rnn_relu": rnn_relu,
    "lstm": lstm,
    "gru": gru,
}
