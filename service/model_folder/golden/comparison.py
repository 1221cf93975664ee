"""Checks and comparison of golden vectors, for all architectures."""

import math
from collections.abc import Container, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from service.domain.errors import DiffersFromGolden, ModelFolderError
from service.model_folder.safetensors_io import TensorFile

DEFAULT_TOLERANCE = 1e-4
HINT = (
    "The weights fit, so the forward pass is another than the trainer's. Check the gate order (LSTM i, f, g, o; GRU "
    "r, z, n with the reset gate after the matrix product), cell (rnn_tanh or rnn_relu), connection, layer_norm, the "
    "activations of the head, window and padding, which tensors were renamed to which, and the precision that the "
    "weights are stored in"
)
COARSE_TOLERANCE = (
    "In the arithmetic of its config.json the network reproduces these values: this one is too coarse for it. Serve "
    "it in float32, see the setting UNROLL_DTYPE"
)


@dataclass(frozen=True, slots=True)
class Tolerance:
    """The allowed difference from golden vectors: `tolerance` times the size of the numbers, itself for sizes below 1.

    In a reduced compute dtype, a `fraction` of the largest number of a tensor is allowed if that is more.
    """

    tolerance: float
    fraction: float = 0.0

    def of(self, expected: Tensor) -> Tensor:
        """Return the largest difference that is allowed from each of these numbers, in float64.

        The sums behind one number can cancel, so their rounding follows the size of the tensor, see `_size`, and only
        for a number above it the number's own.
        """
        sizes = expected.double().abs()
        return (self.tolerance * sizes.clamp(min=max(1.0, _size(sizes)))).clamp(min=self.fraction * float(sizes.max()))


@dataclass(frozen=True, slots=True)
class Replay:
    """Result of a replay: the difference that is the largest in relation to its tolerance, and that tolerance."""

    difference: float
    tolerance: float
    timesteps: int


@dataclass(frozen=True, slots=True)
class _Worst:
    """The number with the largest difference in relation to the allowed one, and its index."""

    name: str
    index: list[int]
    actual: float
    expected: float
    difference: float
    allowed: float

    @property
    def ratio(self) -> float:
        return self.difference / self.allowed


def compare(
    path: Path, expected: dict[str, Tensor], modes: dict[str, dict[str, Tensor]], tolerance: Tolerance, timesteps: int
) -> Replay:
    """Compare the outputs of each mode of computing. Raises ModelFolderError for a difference above the tolerance."""
    for name, tensor in expected.items():
        _check_finite(path, name, tensor)
    allowed = {name: tolerance.of(tensor) for name, tensor in expected.items()}
    largest: list[_Worst] = []
    for mode, actual in modes.items():
        differences = [_worst(name, actual[name], tensor, allowed[name]) for name, tensor in expected.items()]
        worst = max(differences, key=lambda difference: difference.ratio)
        if worst.ratio > 1:
            message = (
                f"{path}: {worst.name}: found a difference of {worst.difference:.6g} at {worst.index}, of all outputs "
                f"the furthest off for its size: the network computes {worst.actual:.7g} {mode}, the file has "
                f"{worst.expected:.7g}, expected at most {worst.allowed:.6g}. "
                f"{COARSE_TOLERANCE if tolerance.fraction else HINT}"
            )
            raise DiffersFromGolden(message, worst.name, worst.difference, worst.ratio)
        largest.append(worst)
    worst = max(largest, key=lambda difference: difference.ratio)
    return Replay(worst.difference, worst.allowed, timesteps)


def _check_finite(path: Path, name: str, expected: Tensor) -> None:
    """Refuse an infinite number, which would allow any difference, and a NaN."""
    wrong = (~expected.isfinite()).nonzero()
    if len(wrong):
        index = [int(number) for number in wrong[0]]
        raise ModelFolderError(
            f"{path}: {name}: found {float(expected[tuple(index)])} at {index}, expected finite numbers"
        )


def _size(sizes: Tensor) -> float:
    """Return the size that nine of ten numbers of a tensor do not exceed.

    Not the largest: the logits of masked tokens, such as -1e9, would allow the others any difference.
    """
    return float(sizes.flatten().kthvalue(math.ceil(0.9 * sizes.numel())).values)


def _worst(name: str, actual: Tensor, expected: Tensor, allowed: Tensor) -> _Worst:
    """Return the largest difference in relation to the allowed one; that of a NaN is infinite."""
    differences = (actual.double() - expected.double()).abs().nan_to_num(nan=math.inf, posinf=math.inf)
    flat = int((differences / allowed).argmax())
    index = [int(number) for number in np.unravel_index(flat, tuple(expected.shape))]
    numbers = [float(tensor.flatten()[flat]) for tensor in (actual, expected, differences, allowed)]
    return _Worst(name, index, *numbers)


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
        tensors |= {f"{prefix}{kind}_l{layer}": tensor for layer, tensor in enumerate(stacked)}


def prefixed(state: Mapping[str, Tensor], prefix: str = "state.") -> dict[str, Tensor]:
    """Return the tensors of a state under their names in a golden file."""
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}


def stated(shapes: dict[str, tuple[int, ...]], tensors: Container[str]) -> dict[str, tuple[int, ...]]:
    """Return the shapes of optional tensors, which a file has all or none of, if it has any."""
    return shapes if any(name in tensors for name in shapes) else {}


def check_names(path: Path, names: set[str], needed: set[str], optional: frozenset[str] = frozenset()) -> None:
    """Check that no tensor is missing or unknown. Raises ModelFolderError."""
    if missing := sorted(needed - names):
        raise ModelFolderError(f"{path}: {missing[0]}: found no such tensor, expected {', '.join(sorted(needed))}")
    if unknown := sorted(names - needed - optional):
        known = ", ".join(sorted(needed | optional))
        raise ModelFolderError(f"{path}: {unknown[0]}: found this tensor, expected only {known}")


def check_shapes(path: Path, tensors: dict[str, Tensor], expected: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """Return the expected tensors of `tensors` as float32. Raises ModelFolderError for another shape."""
    for name, shape in expected.items():
        if tensors[name].shape != shape:
            raise ModelFolderError(f"{path}: {name}: found shape {[*tensors[name].shape]}, expected {[*shape]}")
    return {name: tensors[name].float() for name in expected}


def check_ids(path: Path, name: str, ids: Tensor, vocabulary: int) -> None:
    """Check that a tensor is a batch of token ids. Raises ModelFolderError."""
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
        raise ModelFolderError(
            f"{path}: metadata tolerance: found {stated[:80]!r}, expected a number above 0 and up to 1"
        )
    return tolerance
