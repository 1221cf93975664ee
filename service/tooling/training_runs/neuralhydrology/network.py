"""The tensors of a network of NeuralHydrology, by the names that its layers have everywhere else."""

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from service.domain.errors import ModelFolderError
from service.tooling.formats.network import SavedNetwork

_LAYERS = tuple(f"{kind}_{part}" for kind in ("weight", "bias") for part in ("ih", "hh"))
#: The cell of CustomLSTM, which computes step by step what nn.LSTM does.
_CELL = {f"cell.{name[0]}_{name[-2:]}": f"lstm.{name}_l0" for name in _LAYERS}
_CELLS = ("lstm", "gru")
OUTPUT = "head.net.0"
_KNOWN = {f"{cell}.{name}_l0" for cell in _CELLS for name in _LAYERS} | {f"{OUTPUT}.weight", f"{OUTPUT}.bias"}
#: The layer that is written behind an activation of the outputs.
IDENTITY = "head.net.2"


def adapt_network(place: Path, saved: SavedNetwork, features: int, targets: int, *, activated: bool) -> SavedNetwork:
    """Return the network with PyTorch's names. With `activated` outputs, the identity follows as a further layer.

    Raises ModelFolderError unless it is one recurrent layer over so many features, and an output for each target.
    """
    tensors = {_CELL.get(name, name): tensor for name, tensor in saved.tensors.items()}
    if other := [name for name in tensors if name not in _KNOWN]:
        raise ModelFolderError(
            f"{place}: found {', '.join(other)[:300]}, expected one LSTM or GRU with a linear layer behind it, as "
            "config.yml describes"
        )
    sizes = {f"{cell}.weight_ih_l0": (1, features, "features") for cell in _CELLS}
    for name, (axis, count, what) in {**sizes, f"{OUTPUT}.weight": (0, targets, "target_variables")}.items():
        if name in tensors and not _has_size(tensors[name], axis, count):
            found = [*tensors[name].shape]
            raise ModelFolderError(f"{place}: {name}: found {found}, expected {count} {what} as in config.yml")
    if activated:
        tensors |= {f"{IDENTITY}.weight": torch.eye(targets), f"{IDENTITY}.bias": torch.zeros(targets)}
    return replace(saved, tensors=tensors)


def _has_size(tensor: Tensor, axis: int, count: int) -> bool:
    """Return whether a tensor is a matrix of so many rows or columns."""
    return tensor.dim() == 2 and tensor.shape[axis] == count
