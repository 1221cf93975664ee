"""Conversion of output layers that stand side by side, one for each parameter of a distribution, to one layer."""

from pathlib import Path

import torch
from torch import Tensor

from service.domain.errors import ModelFolderError
from service.nets.config.forecaster_config import ForecasterConfig

#: The names of the layers, in the order of a distribution's parameters.
HEADS = ("output.mean", "output.scale", "output.degrees")


def join_heads(source: Path, tensors: dict[str, Tensor], config: ForecasterConfig) -> list[str]:
    """Join `output.mean`, `output.scale` and `output.degrees` to `output` in place. Raises ModelFolderError."""
    names = [name for name in HEADS[: config.parameters] if f"{name}.weight" in tensors]
    if not names:
        return []
    if len(names) != config.parameters:
        expected = ", ".join(HEADS[: config.parameters])
        raise ModelFolderError(
            f"{source}: found {', '.join(names)} alone, expected {expected} of {config.distribution}"
        )
    weights = [tensors.pop(f"{name}.weight") for name in names]
    biases = [
        tensors.pop(f"{name}.bias", weight.new_zeros(len(weight))) for name, weight in zip(names, weights, strict=True)
    ]
    for kind, parts in (("weight", weights), ("bias", biases)):
        if len({part.shape for part in parts}) != 1:
            shapes = ", ".join(str([*part.shape]) for part in parts)
            raise ModelFolderError(f"{source}: {names[0]}.{kind}: found shapes {shapes}, expected equal ones")
        # The parameters of one number stand next to each other.
        tensors[f"output.{kind}"] = torch.stack(parts, 1).flatten(0, 1)
    return [f"{', '.join(names)} are written as one layer, output"]
