"""Replay of golden.safetensors, which holds outputs that the trainer's own code computed.

The metadata may state `tolerance`, 1e-4 by default. The largest difference allowed is this times the size of the
compared numbers, and this itself where their size is below 1, see `Tolerance`. A reduced compute dtype, chosen for a
network whose weights reproduced the outputs before, may differ by a fraction of the largest number of each tensor
(MAX_FRACTION).

The recurrent state after the last timestep is one tensor per layer, `state.h_l{k}` and, for an LSTM, `state.c_l{k}`
(B, size), or `state.h` and `state.c` (L, B, size) as torch.nn returns them. The module of each architecture describes
the other tensors.
"""

from pathlib import Path
from typing import Any

import torch

from service.domain.errors import ModelFolderError
from service.domain.operations import ComputeDtype
from service.model_folder.folder_spec import CompanionsT, FolderSpec
from service.model_folder.golden.amount import NetworkSize, check_amount
from service.model_folder.golden.comparison import Replay, Tolerance, read_tolerance
from service.model_folder.safetensors_io import open_tensor_file
from service.nets.network_spec import NetworkT

FILE = "golden.safetensors"
MAX_FRACTION: dict[ComputeDtype, float] = {"float32": 0.0, "bfloat16": 0.05, "int8": 0.1}


@torch.inference_mode()
def replay_golden(
    folder: Path,
    spec: FolderSpec[Any, NetworkT, CompanionsT],
    network: NetworkT,
    companions: CompanionsT,
    size: NetworkSize,
    *,
    reduced: ComputeDtype = "float32",
) -> Replay | None:
    """Replay the golden vectors of a folder on a network, or return None if it has none.

    The work is bounded by the `size` of the network. `reduced` is the compute dtype of a network whose weights
    reproduced the vectors before in the model's own dtype. Raises ModelFolderError for a
    file that does not fit the network, for too much work, and for a larger difference than is allowed.
    """
    path = folder / FILE
    if not path.exists():
        return None
    with open_tensor_file(path) as opened:
        check_amount(path, opened, size)
        file = opened.read()
    tensors = {name: stored.tensor() for name, stored in file.tensors.items()}
    tolerance = Tolerance(read_tolerance(path, file), MAX_FRACTION[reduced])
    try:
        return spec.replay(path, tensors, network, companions, tolerance)
    except (RuntimeError, ArithmeticError, ValueError, TypeError, LookupError) as error:
        reason = f"{type(error).__name__}: {str(error)[:200]}"
        raise ModelFolderError(
            f"{path}: found tensors that the network cannot compute with ({reason}), expected the trainer's own"
        ) from error
