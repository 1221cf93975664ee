"""Conversion of layers that give the initial state of all recurrent layers from a vector.

`vector.initial.h.*`, `vector.initial.c.*`  one linear layer for all recurrent layers, or the same one for each of them
`vector.initial.state.*`                    one for h of all recurrent layers, and behind these c of all
"""

from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor

from service.domain.errors import ModelFolderError
from service.nets.config.rnn_spec import StateSpec


def convert_vector(source: Path, tensors: dict[str, Tensor], states: Iterable[StateSpec]) -> list[str]:
    """Write such layers as one for each tensor of the state, in place, and return notes. Raises ModelFolderError."""
    sizes = {spec.name: spec.shape[0] for spec in states}
    by_kind = {kind: {name: size for name, size in sizes.items() if name[0] == kind} for kind in "hc"}
    notes: list[str] = []
    for place, own in {**by_kind, "state": {**by_kind["h"], **by_kind["c"]}}.items():
        for part in ("weight", "bias"):
            tensor = tensors.pop(f"vector.initial.{place}.{part}", None)
            if tensor is not None:
                name = f"vector.initial.{place}.{part}"
                written = _written(source, name, tensor, own)
                tensors |= {f"vector.initial.{state}.{part}": rows.clone() for state, rows in written.items()}
                notes.append(f"{name} is written for {', '.join(written)}")
    return notes


def _written(source: Path, name: str, tensor: Tensor, sizes: dict[str, int]) -> dict[str, Tensor]:
    """Return the rows of each tensor of the state. Raises ModelFolderError."""
    rows = len(tensor) if tensor.dim() else 0
    if sizes and rows == sum(sizes.values()):
        return dict(zip(sizes, torch.split(tensor, [*sizes.values()]), strict=True))
    if sizes and {*sizes.values()} == {rows}:
        return dict.fromkeys(sizes, tensor)
    expected = (
        f"{sum(sizes.values())} rows, of {', '.join(sizes)} together, or those of each" if sizes else "no such one"
    )
    raise ModelFolderError(f"{source}: {name}: found {rows} rows, expected {expected}")
