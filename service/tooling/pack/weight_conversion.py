"""Conversions of a checkpoint's tensors that leave the network's results unchanged, for all architectures."""

from pathlib import Path

import torch
from torch import Tensor

from service.domain.errors import ModelFolderError


def transpose_marked(source: Path, tensors: dict[str, Tensor]) -> list[str]:
    """Transpose the matrices whose names end in `.T`, such as `attention.weight.T`, in place, and return notes.

    Raises ModelFolderError.
    """
    notes: list[str] = []
    for name in [name for name in tensors if name.endswith(".T")]:
        tensor, plain = tensors.pop(name), name.removesuffix(".T")
        if tensor.dim() != 2 or plain in tensors:
            reason = f"{tensor.dim()} dimensions" if tensor.dim() != 2 else f"{plain} too"
            raise ModelFolderError(f"{source}: {name}: found {reason}, expected one matrix to transpose")
        tensors[plain] = tensor.T.contiguous()
        notes.append(f"{plain} is written transposed")
    return notes


def drop_tied_output(source: Path, tensors: dict[str, Tensor], table: str) -> list[str]:
    """Remove an output layer that is tied to the embedding `table` in place, and return notes.

    Raises ModelFolderError if their values differ.
    """
    if "output.weight" not in tensors or table not in tensors:
        return []
    if not torch.equal(tensors.pop("output.weight"), tensors[table]):
        raise ModelFolderError(
            f"{source}: output.weight: found other values than in {table}, expected equal ones, since tie_weights is "
            "true"
        )
    return [f"output.weight is left out: it is {table} (tie_weights)"]
