"""Inputs of golden vectors of sequences: token ids, or values in the units of the data."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from service.domain.errors import ModelFolderError
from service.model_folder.golden.comparison import check_ids
from service.nets.config.architecture_config import SequenceConfig
from service.nets.forecast_inputs.rows import RowReader


def input_name(config: SequenceConfig) -> str:
    """Return the name of the tensor of inputs."""
    return "inputs.ids" if config.reads_text else "inputs.values"


def read_inputs(path: Path, tensor: Tensor, config: SequenceConfig, companions: object) -> Tensor:
    """Return the network's inputs, (B, T) or (B, T, W). Raises ModelFolderError."""
    if config.vocab_size is not None:
        check_ids(path, "inputs.ids", tensor, config.vocab_size)
        return tensor
    if tensor.dim() != 3 or tensor.shape[2] != len(config.features) or not tensor.numel():
        shape = [*tensor.shape]
        raise ModelFolderError(
            f"{path}: inputs.values: found shape {shape}, expected [batch, time, {len(config.features)}]"
        )
    assert isinstance(companions, RowReader)  # noqa: S101 - networks over numbers have one
    zeros = np.zeros(len(config.features))
    rows = [companions.read(values, zeros).inputs for values in tensor.double().numpy()]
    return torch.from_numpy(np.stack(rows)).float()
