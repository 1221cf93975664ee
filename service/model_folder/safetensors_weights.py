"""Weights of model.safetensors: names, dtypes and shapes are checked before memory is allocated for them."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Generic

import torch
from torch import Tensor

from service.domain.errors import ModelFolderError
from service.domain.operations import ComputeDtype, Device
from service.model_folder.memory import require_memory
from service.model_folder.safetensors_header import TensorEntry
from service.model_folder.safetensors_io import StoredTensor, open_tensor_file
from service.nets.device import wrap_for_device
from service.nets.layers.packed_linear import pack_all
from service.nets.network_spec import ConfigT, NetworkSpec, NetworkT

FILE = "model.safetensors"
FLOAT_BYTES = 4
STORED = ("F32", "F16", "BF16")


@dataclass(frozen=True, slots=True)
class SafetensorsWeights(Generic[ConfigT, NetworkT]):
    """The tensors of model.safetensors, as stored and as float32."""

    spec: NetworkSpec[ConfigT, NetworkT]
    config: ConfigT
    stored: dict[str, StoredTensor]
    tensors: dict[str, Tensor]

    @property
    def parameters(self) -> int:
        """The number of weights."""
        return sum(tensor.numel() for tensor in self.tensors.values())

    def network(self, dtype: ComputeDtype, device: Device) -> NetworkT:
        """Return the network, to run in `dtype` on `device`."""
        return assemble(self.spec, self.config, self.tensors, dtype, device)

    def contents(self) -> Iterator[tuple[str, bytes | bytearray]]:
        """Yield what the fingerprint covers, with a label each."""
        for name, tensor in sorted(self.stored.items()):
            yield f"{name} {tensor.dtype} {[*tensor.shape]}", tensor.data


def read_safetensors_weights(
    folder: Path, spec: NetworkSpec[ConfigT, NetworkT], config: ConfigT
) -> SafetensorsWeights[ConfigT, NetworkT]:
    """Read model.safetensors of a folder. Raises ModelFolderError."""
    shapes = expected_shapes(spec, config, str(folder / "config.json"))
    stored, tensors = _read_weights(folder / FILE, shapes)
    return SafetensorsWeights(spec, config, stored, tensors)


def assemble(
    spec: NetworkSpec[ConfigT, NetworkT],
    config: ConfigT,
    weights: dict[str, Tensor],
    dtype: ComputeDtype,
    device: Device | torch.device = "cpu",
) -> NetworkT:
    """Return the network with these weights, packed for `dtype`. Its callers' tensors are on the CPU."""
    target = torch.device(device)
    network = _empty(spec, config)
    network.load_state_dict({name: weight.to(target) for name, weight in weights.items()}, assign=True)
    network.requires_grad_(False)
    pack_all(network, dtype)
    if target.type != "cpu":
        wrap_for_device(network, target, spec.device_methods)
    return network


def expected_shapes(
    spec: NetworkSpec[ConfigT, NetworkT], config: ConfigT, place: str = "config.json"
) -> dict[str, tuple[int, ...]]:
    """Return the names and shapes of the tensors of model.safetensors; `place` names the configuration in messages.

    No memory is allocated for them. Raises ModelFolderError for sizes that no tensor can have.
    """
    try:
        return {name: tuple(tensor.shape) for name, tensor in _empty(spec, config).state_dict().items()}
    except (RuntimeError, ArithmeticError, ValueError, TypeError) as error:  # as torch raises for huge sizes
        reason = str(error).partition("\n")[0][:200]
        raise ModelFolderError(
            f"{place}: found sizes that no network can have ({reason}), expected smaller ones"
        ) from error


def _empty(spec: NetworkSpec[ConfigT, NetworkT], config: ConfigT) -> NetworkT:
    """Return the network without memory for its weights."""
    with torch.device("meta"):
        return spec.make_network(config).eval().requires_grad_(False)


def _read_weights(path: Path, shapes: dict[str, tuple[int, ...]]) -> tuple[dict[str, StoredTensor], dict[str, Tensor]]:
    """Return the tensors of a file as stored, and as float32. All are checked before one is read.

    Raises ModelFolderError.
    """
    with open_tensor_file(path) as file:
        _check_entries(path, shapes, file.header.entries)
        # The stored tensors, the same as float32, and their packed copies.
        parameters = sum(map(prod, shapes.values()))
        require_memory(path, file.data_bytes + 2 * FLOAT_BYTES * parameters)
        stored = file.read().tensors
    return stored, {name: _finite(path, name, stored[name].tensor()).float() for name in shapes}


def _check_entries(path: Path, shapes: dict[str, tuple[int, ...]], stored: dict[str, TensorEntry]) -> None:
    """Check names, shapes and dtypes of the tensors of a file. Raises ModelFolderError."""
    if missing := [name for name in shapes if name not in stored]:
        expected = f"{missing[0]} of shape {[*shapes[missing[0]]]}"
        raise ModelFolderError(f"{path}: {_abbreviate(missing)}: found no such tensor, expected {expected}")
    if extra := sorted(stored.keys() - shapes.keys()):
        raise ModelFolderError(
            f"{path}: {_abbreviate(extra)}: found this tensor of shape {[*stored[extra[0]].shape]}, "
            "expected none of that name: config.json describes a network without it"
        )
    for name, shape in shapes.items():
        _check(path, name, stored[name], shape)


def _check(path: Path, name: str, stored: TensorEntry, shape: tuple[int, ...]) -> None:
    if stored.shape != shape:
        raise ModelFolderError(f"{path}: {name}: found shape {[*stored.shape]}, expected {[*shape]}")
    if stored.dtype not in STORED:
        raise ModelFolderError(f"{path}: {name}: found dtype {stored.dtype}, expected one of {', '.join(STORED)}")


def _finite(path: Path, name: str, tensor: Tensor) -> Tensor:
    bad = int((~torch.isfinite(tensor)).sum())
    if bad:
        raise ModelFolderError(
            f"{path}: {name}: found {bad} of {tensor.numel()} numbers that are NaN or infinite, expected finite weights"
        )
    return tensor


def _abbreviate(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
