"""Replays golden.safetensors: what the trainer's own code computed, which the served network has to reproduce.

The file holds `inputs.ids` (B, T) int64, `outputs.logits` (B, T, V), and the recurrent state after the last timestep,
from the zero state: `state.h_l{k}` and, for an LSTM, `state.c_l{k}` (B, size), or `state.h` and `state.c` (L, B, size)
as torch.nn returns them. Its metadata may state `tolerance`, the largest difference allowed (1e-4 unless told).
"""

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from service.errors import ModelFolderError
from service.nets.language_model import LanguageModel
from service.nets.stack import State
from service.nets.tensor_file import TensorFile, read_tensor_file

FILE = "golden.safetensors"
TOLERANCE = 1e-4
HINT = (
    "The weights fit, so the forward pass is another than the trainer's. Check the gate order (LSTM i, f, g, o; GRU "
    "r, z, n with the reset gate after the matrix product), cell (rnn_tanh or rnn_relu), connection, layer_norm, the "
    "activations of the head, which tensors were renamed to which, and the precision that the weights are stored in"
)


@dataclass(frozen=True, slots=True)
class Replay:
    """How far the network is from the trainer's values, at most."""

    difference: float
    tolerance: float
    timesteps: int


@dataclass(frozen=True, slots=True)
class _Golden:
    ids: Tensor
    expected: dict[str, Tensor]
    tolerance: float


def replay_golden(folder: Path, network: LanguageModel) -> Replay | None:
    """Replay step by step and as a whole sequence; None where the folder has no golden file.

    Raises ModelFolderError for a file that does not fit the network, and for a difference above the tolerance.
    """
    path = folder / FILE
    if not path.exists():
        return None
    golden = _read(path, network)
    largest = 0.0
    for manner, actual in (
        ("step by step", _steps(network, golden.ids)),
        ("as a sequence", _whole(network, golden.ids)),
    ):
        differences = {name: _difference(actual[name], expected) for name, expected in golden.expected.items()}
        worst = max(differences, key=differences.__getitem__)
        if differences[worst] > golden.tolerance:
            raise ModelFolderError(
                f"{path}: {worst}: found a difference of {differences[worst]:.6g} from what the network computes "
                f"{manner}, the largest of all outputs, expected at most {golden.tolerance:g}. {HINT}"
            )
        largest = max(largest, differences[worst])
    return Replay(largest, golden.tolerance, golden.ids.numel())


def _difference(actual: Tensor, expected: Tensor) -> float:
    """Return the largest difference; where a NaN makes it no number, infinity."""
    largest = float((actual.float() - expected).abs().max())
    return math.inf if math.isnan(largest) else largest


@torch.inference_mode()
def _steps(network: LanguageModel, ids: Tensor) -> State:
    state, logits = network.initial_recurrent_state(len(ids)), []
    for column in ids.unbind(1):
        features, state = network.step(column, state)
        logits.append(network.logits(features))
    return _named(torch.stack(logits, 1), state)


@torch.inference_mode()
def _whole(network: LanguageModel, ids: Tensor) -> State:
    features, state = network.sequence(ids, network.initial_recurrent_state(len(ids)))
    return _named(network.logits(features), state)


def _named(logits: Tensor, state: State) -> State:
    return {"outputs.logits": logits, **{f"state.{name}": value for name, value in state.items()}}


def _read(path: Path, network: LanguageModel) -> _Golden:
    file = read_tensor_file(path)
    tensors = {name: stored.tensor() for name, stored in file.tensors.items()}
    _unstack(path, tensors, network)
    shapes = {spec.name: spec.shape for spec in network.rnn.specs}
    needed = {"inputs.ids", "outputs.logits", *(f"state.{name}" for name in shapes)}
    if missing := sorted(needed - tensors.keys()):
        raise ModelFolderError(f"{path}: {missing[0]}: found no such tensor, expected {', '.join(sorted(needed))}")
    if unknown := sorted(tensors.keys() - needed):
        raise ModelFolderError(f"{path}: {unknown[0]}: found this tensor, expected only {', '.join(sorted(needed))}")
    ids = tensors.pop("inputs.ids")
    _check_ids(path, ids, network.config.vocab_size)
    expected = {"outputs.logits": (*ids.shape, network.config.vocab_size)}
    expected |= {f"state.{name}": (len(ids), *shape) for name, shape in shapes.items()}
    for name, shape in expected.items():
        if tensors[name].shape != shape:
            raise ModelFolderError(f"{path}: {name}: found shape {[*tensors[name].shape]}, expected {[*shape]}")
    return _Golden(ids, {name: tensor.float() for name, tensor in tensors.items()}, _tolerance(path, file))


def _unstack(path: Path, tensors: dict[str, Tensor], network: LanguageModel) -> None:
    """Replace `state.h` and `state.c` (L, B, size) by one tensor per layer."""
    depth = network.config.num_layers
    for kind in ("h", "c"):
        stacked = tensors.pop(f"state.{kind}", None)
        if stacked is None:
            continue
        if stacked.dim() != 3 or len(stacked) != depth:
            raise ModelFolderError(
                f"{path}: state.{kind}: found shape {[*stacked.shape]}, expected [{depth} layers, batch, size]"
            )
        tensors |= {f"state.{kind}_l{layer}": one for layer, one in enumerate(stacked)}


def _check_ids(path: Path, ids: Tensor, vocabulary: int) -> None:
    if ids.dtype != torch.int64 or ids.dim() != 2 or ids.numel() == 0:
        found = f"{ids.dtype} of shape {[*ids.shape]}".removeprefix("torch.")
        raise ModelFolderError(f"{path}: inputs.ids: found {found}, expected int64 of shape [batch, time], not empty")
    low, high = int(ids.min()), int(ids.max())
    if low < 0 or high >= vocabulary:
        raise ModelFolderError(f"{path}: inputs.ids: found ids {low} to {high}, expected 0 to {vocabulary - 1}")


def _tolerance(path: Path, file: TensorFile) -> float:
    stated = file.metadata.get("tolerance", str(TOLERANCE))
    try:
        tolerance = float(stated)
    except ValueError:
        tolerance = math.nan
    if not 0 < tolerance <= 1:
        raise ModelFolderError(f"{path}: metadata tolerance: found {stated!r}, expected a number above 0 and up to 1")
    return tolerance
