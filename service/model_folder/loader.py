"""Strict reading of a model folder: configuration, weights, companion files, card and golden vectors.

The names, dtypes and shapes of the weights are checked before memory is allocated for them. Golden vectors are replayed
in the dtype that config.json states, and then in another compute dtype within a wider tolerance. This distinguishes
broken weights from the rounding of a reduced dtype.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from service.domain.errors import ModelFolderError
from service.domain.files import read_file
from service.domain.operations import ComputeDtype, Device
from service.model_folder.folder_spec import FolderSpec
from service.model_folder.golden.comparison import Replay
from service.model_folder.golden.replay import replay_golden
from service.model_folder.memory import require_memory
from service.model_folder.model_card import ModelCard, read_card
from service.model_folder.safetensors_header import TensorEntry
from service.model_folder.safetensors_io import StoredTensor, open_tensor_file
from service.nets.config.architecture_config import ArchitectureConfig
from service.nets.config.loader import read_config_bytes
from service.nets.device import require_device, wrap_for_device
from service.nets.layers.packed_linear import pack_all
from service.nets.network_spec import ConfigT, NetworkSpec, NetworkT, parse_config

#: Files that belong to the fingerprint of any folder that has them, before those that its configuration names.
PREPROCESSING = ("tokenizer.json", "preprocessor.json")
MAX_PREPROCESSING_BYTES = 2**27
FLOAT_BYTES = 4
STORED = ("F32", "F16", "BF16")
SpecT = TypeVar("SpecT", bound=FolderSpec[Any, Any, Any])


@dataclass(frozen=True)
class Checkpoint(Generic[SpecT]):
    """A loaded model version, ready to run in `dtype`.

    `companions` is what the specification's `read_companions` returned. `golden` is None, and `verified` false, if the
    folder has no golden vectors.
    """

    path: Path
    spec: SpecT
    config: ArchitectureConfig
    network: nn.Module
    companions: Any
    dtype: ComputeDtype
    fingerprint: str
    parameters: int
    card: ModelCard
    golden: Replay | None

    @property
    def verified(self) -> bool:
        """Whether the network reproduced what its trainer computed."""
        return self.golden is not None


def read_checkpoint(
    folder: Path, specs: Sequence[SpecT], dtype: ComputeDtype | None = None, device: Device = "cpu"
) -> Checkpoint[SpecT]:
    """Read a model folder of one of the architectures `specs`, to run in `dtype` or in its own dtype, on `device`.

    Raises ModelFolderError naming the folder, what was found and what was expected; SettingsError for a device that
    does not exist or does not support the dtype.
    """
    require_device(device, dtype)
    if not folder.is_dir():
        raise ModelFolderError(f"{folder}: found no folder, expected one with config.json and model.safetensors")
    raw, place = read_config_bytes(folder), str(folder / "config.json")
    spec, config = parse_config(raw, place, specs)
    stored, weights = _read_weights(folder / "model.safetensors", expected_shapes(spec, config, place))
    card = read_card(folder)
    companions = spec.read_companions(folder, config)
    network = assemble(spec, config, weights, config.dtype, device)
    parameters = sum(weight.numel() for weight in weights.values())
    golden = replay_golden(folder, spec, network, companions, parameters=parameters)
    if dtype is not None and dtype != config.dtype:
        network = assemble(spec, config, weights, dtype, device)
        golden = replay_golden(folder, spec, network, companions, parameters=parameters, reduced=dtype)
    return Checkpoint(
        path=folder,
        spec=spec,
        config=config,
        network=network,
        companions=companions,
        dtype=dtype or config.dtype,
        fingerprint=_fingerprint(folder, raw, stored, config),
        parameters=parameters,
        card=card,
        golden=golden,
    )


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


def _fingerprint(folder: Path, raw: bytes, stored: dict[str, StoredTensor], config: ArchitectureConfig) -> str:
    """Return the SHA-256 over config.json, the tensors by name and the preprocessing files, in hexadecimal."""
    digest = hashlib.sha256()

    def add(label: str, content: bytes | bytearray) -> None:
        # Lengths go in too, so that no two contents run together to the same bytes.
        digest.update(f"{label}\n{len(content)}\n".encode())
        digest.update(content)

    add("config.json", raw)
    for name, tensor in sorted(stored.items()):
        add(f"{name} {tensor.dtype} {[*tensor.shape]}", tensor.data)
    for name in dict.fromkeys((*PREPROCESSING, *config.companion_files)):
        if (folder / name).is_file():
            add(name, read_file(folder / name, MAX_PREPROCESSING_BYTES, "a file that the fingerprint covers"))
    return digest.hexdigest()
