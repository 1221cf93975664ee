"""Reads a model folder strictly: configuration, weights, card and golden vectors. Whatever does not fit is refused.

Network and file are compared by names, dtypes and shapes before memory for a single weight is taken. Golden vectors are
replayed in the arithmetic that config.json states. Another one is replayed after that, within its own tolerance: so
broken weights are told from what the arithmetic rounds away.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from service.domain.errors import ModelFolderError
from service.domain.operations import ComputeDtype, Device, Json
from service.model_folder.golden.comparison import Replay
from service.model_folder.golden.replay import replay_golden
from service.model_folder.model_card import read_card
from service.model_folder.safetensors_io import StoredTensor, read_tensor_file
from service.nets.config.loader import Config, parse_config, read_config_bytes
from service.nets.device import require_device, wrap_for_device
from service.nets.layers.packed_linear import pack_all
from service.nets.models.registry import Network, make_network

#: Files that decide how inputs and outputs are read; they belong to the fingerprint.
PREPROCESSING = ("tokenizer.json", "preprocessor.json")
STORED = ("F32", "F16", "BF16")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A loaded model version, ready to run in the arithmetic `dtype`.

    `golden` is None, and `verified` false, where the folder has no golden vectors.
    """

    path: Path
    config: Config
    network: Network
    dtype: ComputeDtype
    fingerprint: str
    parameters: int
    description: str
    metrics: dict[str, Json]
    golden: Replay | None

    @property
    def verified(self) -> bool:
        """Whether the network reproduced what its trainer computed."""
        return self.golden is not None


def read_checkpoint(folder: Path, dtype: ComputeDtype | None = None, device: Device = "cpu") -> Checkpoint:
    """Read a model folder to run in this arithmetic, its own unless told, on this device.

    Raises ModelFolderError naming the folder, what was found and what was expected; SettingsError for a device that is
    not there, or has no such arithmetic.
    """
    require_device(device, dtype)
    if not folder.is_dir():
        raise ModelFolderError(f"{folder}: found no folder, expected one with config.json and model.safetensors")
    raw = read_config_bytes(folder)
    config = parse_config(raw, str(folder / "config.json"))
    path = folder / "model.safetensors"
    stored = read_tensor_file(path).tensors
    weights = _weights(config, path, stored)
    description, metrics = read_card(folder)
    network = assemble(config, weights, config.dtype, device)
    golden = replay_golden(folder, network)
    if dtype is not None and dtype != config.dtype:
        network = assemble(config, weights, dtype, device)
        golden = replay_golden(folder, network, reduced=dtype)
    return Checkpoint(
        path=folder,
        config=config,
        network=network,
        dtype=dtype or config.dtype,
        fingerprint=_fingerprint(folder, raw, stored, config),
        parameters=sum(weight.numel() for weight in weights.values()),
        description=description,
        metrics=metrics,
        golden=golden,
    )


def assemble(
    config: Config, weights: dict[str, Tensor], arithmetic: ComputeDtype, device: Device | torch.device = "cpu"
) -> Network:
    """Return the network with these weights, packed for this arithmetic; its callers' tensors lie in memory."""
    place = torch.device(device)
    network = _empty(config)
    network.load_state_dict({name: weight.to(place) for name, weight in weights.items()}, assign=True)
    network.requires_grad_(False)
    pack_all(network, arithmetic)
    if place.type != "cpu":
        wrap_for_device(network, place)
    return network


def expected_shapes(config: Config) -> dict[str, tuple[int, ...]]:
    """Return the tensors of model.safetensors with their shapes."""
    return {name: tuple(tensor.shape) for name, tensor in _empty(config).state_dict().items()}


def _empty(config: Config) -> Network:
    """Return the network without memory for its weights."""
    with torch.device("meta"):
        return make_network(config).eval().requires_grad_(False)


def _weights(config: Config, path: Path, stored: dict[str, StoredTensor]) -> dict[str, Tensor]:
    """Return the stored weights as float32, once all of them fit."""
    shapes = expected_shapes(config)
    if missing := [name for name in shapes if name not in stored]:
        wanted = f"{missing[0]} of shape {[*shapes[missing[0]]]}"
        raise ModelFolderError(f"{path}: {_abbreviate(missing)}: found no such tensor, expected {wanted}")
    if extra := sorted(stored.keys() - shapes.keys()):
        raise ModelFolderError(
            f"{path}: {_abbreviate(extra)}: found this tensor of shape {[*stored[extra[0]].shape]}, "
            "expected none of that name: config.json describes a network without it"
        )
    for name, shape in shapes.items():
        _check(path, name, stored[name], shape)
    return {name: _finite(path, name, stored[name].tensor()).float() for name in shapes}


def _check(path: Path, name: str, stored: StoredTensor, shape: tuple[int, ...]) -> None:
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


def _fingerprint(folder: Path, raw: bytes, stored: dict[str, StoredTensor], config: Config) -> str:
    """Return the SHA-256 over config.json, the tensors by name and the preprocessing files, 64 hexadecimal digits."""
    digest = hashlib.sha256()

    def add(label: str, content: bytes | bytearray) -> None:
        # Lengths go in too, so that no two contents run together to the same bytes.
        digest.update(f"{label}\n{len(content)}\n".encode())
        digest.update(content)

    add("config.json", raw)
    for name, one in sorted(stored.items()):
        add(f"{name} {one.dtype} {[*one.shape]}", one.data)
    for name in dict.fromkeys((*PREPROCESSING, *config.tokenizers)):
        if (folder / name).is_file():
            add(name, (folder / name).read_bytes())
    return digest.hexdigest()
