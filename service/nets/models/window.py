"""Windows of the last inputs as the state of a sequence, and packing of windows for the recurrent layers.

A state has `window` (B, N W), the last N inputs of W numbers each, and `inputs` (B, 1), the number of inputs among
them. The last input is at the end, and places that no input has filled are at the beginning. A model with padding fills
them with its token, see `fill_window`.
"""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from service.nets.layers.rnn_stack import State

#: Rows of windows that are read at once; this bounds the memory.
MAX_ROWS = 2**14


class PackedWindows(NamedTuple):
    """Windows in the order of `RnnStack.packed_sequence`: the first inputs of all windows, the second ones, and so on.

    `inputs` are (n, W), and `counts` the numbers of windows that have a first, a second, ... input. `last` (B,) are the
    indices of the last input of each window among the n, and `ranks` (B,) those of the windows, the longest first.
    """

    inputs: Tensor
    counts: list[int]
    last: Tensor
    ranks: Tensor


def empty_window(batch: int, size: int, width: int = 1) -> State:
    """Return the state of windows of `size` inputs before the first input."""
    return {"window": torch.zeros(batch, size * width), "inputs": torch.zeros(batch, 1)}


def fill_window(state: State, token: int) -> State:
    """Return the state of empty windows whose places hold a token."""
    return {**state, "window": torch.full_like(state["window"], float(token))}


def push(state: State, inputs: Tensor) -> State:
    """Return the state after T >= 1 more inputs (B, T, W)."""
    window, (batch, count, width) = state["window"], inputs.shape
    size = window.shape[1] // width
    stream = torch.cat([window, inputs.reshape(batch, -1)], 1)
    return {"window": stream[:, count * width :], "inputs": (state["inputs"] + count).clamp(max=size)}


def unroll(state: State, inputs: Tensor, counts: Sequence[int]) -> State:
    """Return the states before each of the inputs (n, W): the first `counts` belong to the first window, and so on."""
    if all(count == 1 for count in counts):
        return state
    window, width = state["window"], inputs.shape[1]
    size, device = window.shape[1], window.device
    windows = [
        torch.cat([own, fed.flatten()]).unfold(0, size, width)[: len(fed)]
        for own, fed in zip(window, torch.split(inputs, [*counts]), strict=True)
    ]
    before = torch.cat([torch.arange(count, device=device) for count in counts])[:, None]
    filled = state["inputs"].repeat_interleave(torch.tensor([*counts], device=device), 0) + before
    return {"window": torch.cat(windows), "inputs": filled.clamp(max=size // width)}


def values_before(own: Tensor, inner: Sequence[Tensor], counts: Sequence[int]) -> Tensor:
    """Return what was known before each input (n, ...), of the first input of a state its row of `own` (B, ...).

    The states have `counts` inputs each, and `inner` are the values after all of these but the last.
    """
    pairs = zip(torch.split(own, 1), inner, counts, strict=True)
    return torch.cat([part for first, rest, count in pairs for part in (first[:count], rest)])


def pack_windows(state: State, width: int, padding: Literal["left", "right"] | None) -> PackedWindows:
    """Pack the windows of a state; those of a model with padding are all of one length."""
    batch = len(state["window"])
    windows = state["window"].view(batch, -1, width)
    size = windows.shape[1]
    lengths = state["inputs"][:, 0].long()
    if padding == "right":  # the inputs first, then the places that they have not filled
        places = (torch.arange(size, device=windows.device) - lengths[:, None]) % size
        windows = windows.gather(1, places[..., None].expand_as(windows))
    if padding is not None or int(lengths.min()) == size:
        ranks = torch.arange(batch, device=windows.device)
        return PackedWindows(windows.transpose(0, 1).flatten(0, 1), [batch] * size, ranks + (size - 1) * batch, ranks)
    order = lengths.argsort(descending=True, stable=True)
    present = lengths[order] > torch.arange(int(lengths.max()), device=windows.device)[:, None]
    timesteps, ranked = present.nonzero(as_tuple=True)
    rows = order[ranked]
    counts = present.sum(1)
    ranks = torch.empty_like(order)
    ranks[order] = torch.arange(batch, device=windows.device)
    starts = counts.cumsum(0) - counts
    inputs = windows[rows, size - lengths[rows] + timesteps]
    return PackedWindows(inputs, counts.tolist(), starts[lengths - 1] + ranks, ranks)


def read_windows(state: State, size: int, read: Callable[[State], Tensor]) -> Tensor:
    """Return `read` of windows of `size` inputs, in parts of at most MAX_ROWS rows."""
    part = max(1, MAX_ROWS // size)
    if len(state["window"]) <= part:
        return read(state)
    parts = zip(*(torch.split(state[name], part) for name in ("window", "inputs")), strict=True)
    return torch.cat([read({"window": window, "inputs": inputs}) for window, inputs in parts])
