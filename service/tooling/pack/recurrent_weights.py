"""Conversion of tensors of recurrent layers that a checkpoint holds in another shape than a model folder.

`{place}.h0`, `{place}.c0`             learned initial states of all layers, (layers * directions, 1, size)
`{place}.combined_l{k}.weight`, `.bias`  one linear layer over [input; state] in place of two weights
`{place}.combined_output_l0.*`         a second one, whose output is the network's: the tutorial's cell of i2h and i2o
"""

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from service.domain.errors import ModelFolderError

Shapes = Mapping[str, tuple[int, ...]]


def convert_recurrent(source: Path, tensors: dict[str, Tensor], shapes: Shapes) -> list[str]:
    """Convert the tensors in place to those of `shapes`, and return notes. Raises ModelFolderError."""
    notes: list[str] = []
    for name in [*tensors]:
        if match := re.fullmatch(r"(.*)\.([hc]0)", name):
            notes += _split_initial(source, tensors, shapes, name, f"{match[1]}.{match[2]}_l")
    for name in [*tensors]:
        if match := re.fullmatch(r"(.*)\.combined_l(\d+)\.weight", name):
            notes += _split_combined(source, tensors, shapes, match[1], int(match[2]))
    return notes


def _split_initial(source: Path, tensors: dict[str, Tensor], shapes: Shapes, name: str, start: str) -> list[str]:
    """Split the learned states of all layers."""
    layers = [layer for layer in shapes if layer.startswith(start)]
    if not layers:
        return []
    initial, size = tensors.pop(name), shapes[layers[0]][0]
    if initial.numel() != len(layers) * size or any(shapes[layer] != (size,) for layer in layers):
        expected = f"{len(layers)} states of {size} numbers, of all layers and directions"
        raise ModelFolderError(f"{source}: {name}: found shape {[*initial.shape]}, expected {expected}")
    tensors |= {layer: row.clone() for layer, row in zip(layers, initial.reshape(len(layers), size), strict=True)}
    return [f"{name} is written as {', '.join(layers)}"]


def _split_combined(source: Path, tensors: dict[str, Tensor], shapes: Shapes, place: str, layer: int) -> list[str]:
    """Split the columns of a layer over [input; state], and join the rows of a second one, whose output is kept."""
    name, second = f"{place}.combined_l{layer}", f"{place}.combined_output_l{layer}"
    parts = [_pop_linear(tensors, part) for part in (name, second) if f"{part}.weight" in tensors]
    weight = _join_rows([part for part, _ in parts])
    sizes = shapes.get(f"{place}.weight_ih_l{layer}"), shapes.get(f"{place}.weight_hh_l{layer}")
    inputs, state = _split_columns(source, f"{name}.weight", weight, *sizes)
    cell = {
        f"{place}.weight_ih_l{layer}": inputs,
        f"{place}.weight_hh_l{layer}": state,
        f"{place}.bias_ih_l{layer}": torch.cat([bias for _, bias in parts]),
        f"{place}.bias_hh_l{layer}": weight.new_zeros(len(weight)),
    }
    tensors |= {key: tensor for key, tensor in cell.items() if key in shapes}
    notes = [f"{name} is written as the weights of input and state"]
    if len(parts) > 1 and _read_output_from_state(tensors, shapes, len(parts[-1][0]), weight):
        notes.append(f"{second} is written as a part of the state, and output.weight takes it from there")
    return notes


def _pop_linear(tensors: dict[str, Tensor], name: str) -> tuple[Tensor, Tensor]:
    """Remove a linear layer, and return its weight and its bias, zeros if it has none."""
    weight = tensors.pop(f"{name}.weight")
    bias = tensors.pop(f"{name}.bias", None)
    return weight, weight.new_zeros(len(weight)) if bias is None else bias


def _join_rows(weights: list[Tensor]) -> Tensor:
    """Return one weight of the rows of all, or the first one if they read inputs of different sizes."""
    return torch.cat(weights) if len({weight.shape[-1] for weight in weights}) == 1 else weights[0]


def _split_columns(
    source: Path, name: str, weight: Tensor, wide: tuple[int, ...] | None, high: tuple[int, ...] | None
) -> tuple[Tensor, Tensor]:
    """Return the weights of input and state, whose shapes are `wide` and `high`: None where there is no such layer."""
    if wide is None or high is None:
        raise ModelFolderError(f"{source}: {name}: found shape {[*weight.shape]}, expected no such layer")
    rows, inputs = wide
    if weight.dim() != 2 or len(weight) != rows or not inputs < weight.shape[1] <= inputs + high[1]:
        expected = f"{rows} rows of {inputs + 1} to {inputs + high[1]} columns"
        raise ModelFolderError(f"{source}: {name}: found shape {[*weight.shape]}, expected {expected}")
    # A kept output is a part of the state that no timestep reads.
    unread = weight.new_zeros(rows, high[1] - (weight.shape[1] - inputs))
    return weight[:, :inputs].contiguous(), torch.cat([weight[:, inputs:], unread], 1)


def _read_output_from_state(tensors: dict[str, Tensor], shapes: Shapes, outputs: int, weight: Tensor) -> bool:
    """Add the output layer that passes on the last `outputs` numbers of the state, if the network needs one."""
    if "output.weight" in tensors or shapes.get("output.weight") != (outputs, len(weight)):
        return False
    tensors["output.weight"] = torch.eye(len(weight), dtype=weight.dtype)[-outputs:].contiguous()
    return True
