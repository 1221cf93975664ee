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
    wide, high = shapes.get(f"{place}.weight_ih_l{layer}"), shapes.get(f"{place}.weight_hh_l{layer}")
    weights = [tensors.pop(f"{part}.weight") for part in (name, second) if f"{part}.weight" in tensors]
    biases = [tensors.pop(f"{part}.bias", torch.zeros(0)) for part in (name, second)][: len(weights)]
    weight = torch.cat(weights) if len({tensor.shape[-1] for tensor in weights}) == 1 else weights[0]
    inputs = wide[1] if wide is not None else 0
    if wide is None or high is None or weight.dim() != 2 or len(weight) != wide[0] or weight.shape[1] <= inputs:
        expected = "no such layer" if wide is None or high is None else f"{wide[0]} rows, {inputs} columns and more"
        raise ModelFolderError(f"{source}: {name}.weight: found shape {[*weight.shape]}, expected {expected}")
    hidden = weight[:, inputs:]
    # The kept output is a part of the state that no timestep reads.
    tensors[f"{place}.weight_ih_l{layer}"] = weight[:, :inputs].contiguous()
    tensors[f"{place}.weight_hh_l{layer}"] = torch.cat(
        [hidden, hidden.new_zeros(len(hidden), high[1] - hidden.shape[1])], 1
    )
    own = [bias if len(bias) else weight.new_zeros(len(part)) for bias, part in zip(biases, weights, strict=True)]
    for kind, bias in (("ih", torch.cat(own)), ("hh", weight.new_zeros(len(weight)))):
        if f"{place}.bias_{kind}_l{layer}" in shapes:
            tensors[f"{place}.bias_{kind}_l{layer}"] = bias
    notes = [f"{name} is written as the weights of input and state"]
    outputs = len(weights[-1])
    if len(weights) > 1 and "output.weight" not in tensors and shapes.get("output.weight") == (outputs, len(weight)):
        tensors["output.weight"] = torch.eye(len(weight), dtype=weight.dtype)[-outputs:].contiguous()
        notes.append(f"{second} is written as a part of the state, and output.weight takes it from there")
    return notes
