"""Reads a model folder strictly: configuration, weights, card and golden vectors. Whatever does not fit is refused.

Network and file are compared by names, dtypes and shapes before memory for a single weight is taken.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from service.errors import ModelFolderError
from service.nets.card import read_card
from service.nets.config import Config, parse_config, read_config_bytes
from service.nets.golden import replay_golden
from service.nets.network import Network, make_network
from service.nets.replay import Replay
from service.nets.tensor_file import StoredTensor, read_tensor_file
from service.types import Json

#: Files that decide how inputs and outputs are read; they belong to the fingerprint.
PREPROCESSING = ("tokenizer.json", "preprocessor.json")
STORED = ("F32", "F16", "BF16")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A loaded model version. `golden` is None, and `verified` false, where the folder has no golden vectors."""

    path: Path
    config: Config
    network: Network
    fingerprint: str
    parameters: int
    description: str
    metrics: dict[str, Json]
    golden: Replay | None

    @property
    def verified(self) -> bool:
        """Whether the network reproduced what its trainer computed."""
        return self.golden is not None


def read_checkpoint(folder: Path) -> Checkpoint:
    """Read a model folder. Raises ModelFolderError naming the folder, what was found and what was expected."""
    if not folder.is_dir():
        raise ModelFolderError(f"{folder}: found no folder, expected one with config.json and model.safetensors")
    raw = read_config_bytes(folder)
    config = parse_config(raw, str(folder / "config.json"))
    path = folder / "model.safetensors"
    stored = read_tensor_file(path).tensors
    network = _build(config, path, stored)
    description, metrics = read_card(folder)
    return Checkpoint(
        path=folder,
        config=config,
        network=network,
        fingerprint=_fingerprint(folder, raw, stored, config),
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        description=description,
        metrics=metrics,
        golden=replay_golden(folder, network),
    )


def expected_shapes(config: Config) -> dict[str, tuple[int, ...]]:
    """Return the tensors of model.safetensors with their shapes."""
    return {name: tuple(tensor.shape) for name, tensor in _empty(config).state_dict().items()}


def _empty(config: Config) -> Network:
    """Return the network without memory for its weights."""
    with torch.device("meta"):
        return make_network(config).eval().requires_grad_(False)


def _build(config: Config, path: Path, stored: dict[str, StoredTensor]) -> Network:
    network = _empty(config)
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    if missing := [name for name in shapes if name not in stored]:
        wanted = f"{missing[0]} of shape {[*shapes[missing[0]]]}"
        raise ModelFolderError(f"{path}: {_and_more(missing)}: found no such tensor, expected {wanted}")
    if extra := sorted(stored.keys() - shapes.keys()):
        raise ModelFolderError(
            f"{path}: {_and_more(extra)}: found this tensor of shape {[*stored[extra[0]].shape]}, "
            "expected none of that name: config.json describes a network without it"
        )
    for name, shape in shapes.items():
        _check(path, name, stored[name], shape)
    dtypes = {name: tensor.dtype for name, tensor in network.state_dict().items()}
    weights = {name: _finite(path, name, stored[name].tensor()).to(dtypes[name]) for name in shapes}
    network.load_state_dict(weights, assign=True)
    return network.requires_grad_(False)


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


def _and_more(names: list[str]) -> str:
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
