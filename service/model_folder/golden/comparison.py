"""What golden vectors of every architecture have in common: reading, checking shapes and ids, comparing."""

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from service.domain.errors import ModelFolderError
from service.model_folder.safetensors_io import TensorFile

DEFAULT_TOLERANCE = 1e-4
HINT = (
    "The weights fit, so the forward pass is another than the trainer's. Check the gate order (LSTM i, f, g, o; GRU "
    "r, z, n with the reset gate after the matrix product), cell (rnn_tanh or rnn_relu), connection, layer_norm, the "
    "activations of the head, which tensors were renamed to which, and the precision that the weights are stored in"
)


COARSE_TOLERANCE = (
    "In the arithmetic of its config.json the network reproduces these values: this one is too coarse for it. Serve "
    "it in float32, see the setting UNROLL_DTYPE"
)


@dataclass(frozen=True, slots=True)
class Tolerance:
    """What a network may be off: absolutely, or where it is more, by a share of the largest number of a tensor."""

    absolute: float
    share: float = 0.0

    def of(self, expected: Tensor) -> float:
        """Return the largest difference that is allowed from these numbers."""
        return max(self.absolute, self.share * float(expected.abs().max()))


@dataclass(frozen=True, slots=True)
class Replay:
    """How far the network is from the trainer's values, where that is the largest share of what is allowed."""

    difference: float
    tolerance: float
    timesteps: int


def compare(
    path: Path, expected: dict[str, Tensor], manners: dict[str, dict[str, Tensor]], allowance: Tolerance, timesteps: int
) -> Replay:
    """Compare what each manner of computing gave. Raises ModelFolderError for a difference above the allowance."""
    allowed = {name: allowance.of(one) for name, one in expected.items()}
    found: list[Replay] = []
    for manner, actual in manners.items():
        differences = {name: _difference(actual[name], one) for name, one in expected.items()}
        worst = max(differences, key=lambda name: differences[name] / allowed[name])
        if differences[worst] > allowed[worst]:
            raise ModelFolderError(
                f"{path}: {worst}: found a difference of {differences[worst]:.6g} from what the network computes "
                f"{manner}, the largest of all outputs, expected at most {allowed[worst]:g}. "
                f"{COARSE_TOLERANCE if allowance.share else HINT}"
            )
        found.append(Replay(differences[worst], allowed[worst], timesteps))
    return max(found, key=lambda one: one.difference / one.tolerance)


def _difference(actual: Tensor, expected: Tensor) -> float:
    """Return the largest difference; where a NaN makes it no number, infinity."""
    largest = float((actual.float() - expected).abs().max())
    return math.inf if math.isnan(largest) else largest


def unstack(path: Path, tensors: dict[str, Tensor], depth: int, prefix: str = "state.") -> None:
    """Replace `{prefix}h` and `{prefix}c` (L, B, size) by one tensor per layer."""
    for kind in ("h", "c"):
        stacked = tensors.pop(f"{prefix}{kind}", None)
        if stacked is None:
            continue
        if stacked.dim() != 3 or len(stacked) != depth:
            raise ModelFolderError(
                f"{path}: {prefix}{kind}: found shape {[*stacked.shape]}, expected [{depth} layers, batch, size]"
            )
        tensors |= {f"{prefix}{kind}_l{layer}": one for layer, one in enumerate(stacked)}


def check_names(path: Path, found: set[str], needed: set[str], optional: set[str] = frozenset()) -> None:  # type: ignore[assignment]  # an empty set
    """Refuse missing and unknown tensors."""
    if missing := sorted(needed - found):
        raise ModelFolderError(f"{path}: {missing[0]}: found no such tensor, expected {', '.join(sorted(needed))}")
    if unknown := sorted(found - needed - optional):
        known = ", ".join(sorted(needed | optional))
        raise ModelFolderError(f"{path}: {unknown[0]}: found this tensor, expected only {known}")


def check_shapes(path: Path, tensors: dict[str, Tensor], expected: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """Return the expected tensors of `tensors` as float32. Raises ModelFolderError for another shape."""
    for name, shape in expected.items():
        if tensors[name].shape != shape:
            raise ModelFolderError(f"{path}: {name}: found shape {[*tensors[name].shape]}, expected {[*shape]}")
    return {name: tensors[name].float() for name in expected}


def check_ids(path: Path, name: str, ids: Tensor, vocabulary: int) -> None:
    """Refuse what is no batch of token ids."""
    if ids.dtype != torch.int64 or ids.dim() != 2 or ids.numel() == 0:
        found = f"{ids.dtype} of shape {[*ids.shape]}".removeprefix("torch.")
        raise ModelFolderError(f"{path}: {name}: found {found}, expected int64 of shape [batch, time], not empty")
    low, high = int(ids.min()), int(ids.max())
    if low < 0 or high >= vocabulary:
        raise ModelFolderError(f"{path}: {name}: found ids {low} to {high}, expected 0 to {vocabulary - 1}")


def read_tolerance(path: Path, file: TensorFile) -> float:
    """Return the tolerance that the file's metadata states."""
    stated = file.metadata.get("tolerance", str(DEFAULT_TOLERANCE))
    try:
        tolerance = float(stated)
    except ValueError:
        tolerance = math.nan
    if not 0 < tolerance <= 1:
        raise ModelFolderError(f"{path}: metadata tolerance: found {stated!r}, expected a number above 0 and up to 1")
    return tolerance
