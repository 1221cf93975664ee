"""One timestep of each recurrent cell.

A cell is a function of the pre-activations of its gates, W_ih x + W_hh h + b (for a GRU, W_ih x + b_ih alone), of its
previous state, (h,) or (h, c), and of its weights. It returns the new state. It may overwrite the pre-activations, and
modifies nothing else. `pack_cell` converts PyTorch's parameters into `CellWeights`. The gates of a packed LSTM are in
the order i, f, o, g, so that one call computes the three sigmoids.

LSTM: S. Hochreiter and J. Schmidhuber, "Long short-term memory" (1997), with the projection of H. Sak, A. Senior and
F. Beaufays (2014). GRU: K. Cho et al. (2014), with the reset gate after the matrix product, as cuDNN and PyTorch do.
"""

from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor

from service.domain.operations import ComputeDtype
from service.nets.layers.float32_linear import pack_float32
from service.nets.layers.packed_linear import PackedMatmul, pack

CellState: TypeAlias = tuple[Tensor, ...]


class CellWeights(NamedTuple):
    """Packed weights of a cell: input (I -> gates*H), hidden (S -> gates*H), an LSTM's projection (H -> S) or None.

    `joined` multiplies the concatenation of x and h, (I+S -> gates*H), so that a single timestep needs one product
    instead of two. It is None for a GRU, for a dtype other than float32, and for a cell that only reads sequences.
    `candidate` (S -> H) is that part of the hidden weights of a GRU whose reset gate acts before the product.
    """

    input: PackedMatmul
    hidden: PackedMatmul
    projection: PackedMatmul | None
    joined: PackedMatmul | None
    candidate: PackedMatmul | None = None

    def preactivations(self, x: Tensor, h: Tensor) -> Tensor:
        """Return the pre-activations of one timestep: x (B, I), h (B, S) -> (B, gates*H)."""
        if self.joined is None:
            return self.add_hidden(self.input(x), h)
        return self.joined(torch.cat([x, h], -1))

    def add_hidden(self, inputs: Tensor, h: Tensor) -> Tensor:
        """Return the pre-activations from the input's part of them, W_ih x + b: (B, gates*H), (B, S) -> (B, gates*H).

        One product computes that part for a whole sequence.
        """
        return self.hidden.addmm(inputs, h)


class GruWeights(CellWeights):
    """Packed weights of a GRU. Its reset gate multiplies W_hn h + b_hn, so the cell adds the hidden part itself."""

    def add_hidden(self, inputs: Tensor, h: Tensor) -> Tensor:  # noqa: ARG002 - the cell adds it
        """Return `inputs`."""
        return inputs


def rnn_tanh(gates: Tensor, state: CellState, weights: CellWeights) -> CellState:  # noqa: ARG001 - a cell's arguments
    """Run an Elman RNN with tanh: (B, H), ((B, H),) -> ((B, H),)."""
    return (gates.tanh_(),)


def rnn_relu(gates: Tensor, state: CellState, weights: CellWeights) -> CellState:  # noqa: ARG001 - likewise
    """Run an Elman RNN with relu: (B, H), ((B, H),) -> ((B, H),)."""
    return (gates.relu_(),)


def lstm(gates: Tensor, state: CellState, weights: CellWeights) -> CellState:
    """Run an LSTM: (B, 4H) in the order i, f, o, g, ((B, S), (B, H)) -> ((B, S), (B, H)); S is H unless projected."""
    c = state[1]
    size = c.shape[-1]
    i, f, o = gates[:, : 3 * size].sigmoid_().chunk(3, -1)
    g = gates[:, 3 * size :].tanh_()
    c = (f * c).addcmul_(i, g)
    h = torch.tanh(c).mul_(o)
    return (h if weights.projection is None else weights.projection(h)), c


def gru(gates: Tensor, state: CellState, weights: CellWeights) -> CellState:
    """Run a GRU: (B, 3H) in the order r, z, n, the input's part only, ((B, H),) -> ((B, H),)."""
    (h,) = state
    hidden, size = weights.hidden(h), h.shape[-1]
    r, z = gates[:, : 2 * size].add_(hidden[:, : 2 * size]).sigmoid_().chunk(2, -1)
    n = gates[:, 2 * size :].addcmul_(r, hidden[:, 2 * size :]).tanh_()
    # (1 - z) n + z h
    return (torch.lerp(n, h, z),)


CELLS: dict[str, Callable[[Tensor, CellState, CellWeights], CellState]] = {
    "rnn_tanh": rnn_tanh,
    "rnn_relu": rnn_relu,
    "lstm": lstm,
    "gru": gru,
}


def pack_cell(
    cell: str,
    parameters: Mapping[str, Tensor | None],
    dtype: ComputeDtype,
    *,
    steps: bool,
    reset: Literal["before", "after"] = "after",
) -> CellWeights:
    """Pack PyTorch's parameters: `weight_ih` (gates*H, I), `weight_hh` (gates*H, S), and the others or None.

    Args:
        steps: true if the cell runs single timesteps, for which input and hidden weights are joined.
        reset: where the reset gate of a GRU acts, before or after the matrix product.
    """
    tensors = {name: _reordered(cell, name, tensor) for name, tensor in parameters.items() if tensor is not None}
    weight_ih, weight_hh, weight_hr = tensors["weight_ih"], tensors["weight_hh"], tensors.get("weight_hr")
    bias_ih, bias_hh = tensors.get("bias_ih"), tensors.get("bias_hh")
    projection = None if weight_hr is None else pack(weight_hr, None, dtype)
    if cell == "gru" and reset == "after":
        return GruWeights(pack(weight_ih, bias_ih, dtype), pack(weight_hh, bias_hh, dtype), projection, None)
    # The reset gate of a GRU multiplies its hidden bias, so the two stay apart there; other cells add their sum.
    bias = bias_ih if bias_hh is None else bias_hh if bias_ih is None else bias_ih + bias_hh
    if cell == "gru":
        gates, candidate = torch.split(weight_hh, [2 * weight_hh.shape[1], weight_hh.shape[1]])
        parts = (pack(weight_ih, bias, dtype), pack(gates, None, dtype), None, None, pack(candidate, None, dtype))
        return GruWeights(*parts)
    if steps and dtype == "float32":
        return _joined(weight_ih, weight_hh, bias, projection)
    return CellWeights(pack(weight_ih, bias, dtype), pack(weight_hh, None, dtype), projection, None)


def _joined(weight_ih: Tensor, weight_hh: Tensor, bias: Tensor | None, projection: PackedMatmul | None) -> CellWeights:
    """Pack both weights as one, (gates*H, I+S), of which `input` and `hidden` are slices."""
    joined, width = pack_float32(torch.cat([weight_ih, weight_hh], 1), bias), weight_ih.shape[1]
    return CellWeights(joined.slice_inputs(0, width, bias), joined.slice_inputs(width, None, None), projection, joined)


def _reordered(cell: str, name: str, tensor: Tensor) -> Tensor:
    """Return a parameter of a cell with the gates of an LSTM, i, f, g, o in PyTorch, in the order i, f, o, g."""
    if cell != "lstm" or name == "weight_hr":
        return tensor
    i, f, g, o = tensor.chunk(4)
    return torch.cat([i, f, o, g])
