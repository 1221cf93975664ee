"""Strict reading of a model folder: configuration, weights, companion files, card and golden vectors.

Golden vectors are replayed
in the dtype that config.json states, and then in another compute dtype within a wider tolerance. This distinguishes
broken weights from the rounding of a reduced dtype.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from torch import nn

from service.domain.errors import ModelFolderError
from service.domain.files import read_file
from service.domain.operations import ComputeDtype, Device
from service.model_folder.folder_spec import FolderSpec, Weights
from service.model_folder.golden.amount import NetworkSize
from service.model_folder.golden.comparison import Replay
from service.model_folder.golden.replay import replay_golden
from service.model_folder.model_card import ModelCard, read_card
from service.nets.config.architecture_config import ArchitectureConfig
from service.nets.config.loader import read_config_bytes
from service.nets.device import require_device
from service.nets.network_spec import parse_config

#: Files that belong to the fingerprint of any folder that has them, before those that its configuration names.
PREPROCESSING = ("tokenizer.json", "preprocessor.json")
MAX_PREPROCESSING_BYTES = 2**27
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

    A network with an arithmetic of its own runs in that.

    Raises ModelFolderError naming the folder, what was found and what was expected; SettingsError for a device that
    does not exist or does not support the dtype.
    """
    require_device(device, dtype)
    if not folder.is_dir():
        raise ModelFolderError(f"{folder}: found no folder, expected one with config.json and model.safetensors")
    raw = read_config_bytes(folder)
    spec, config = parse_config(raw, str(folder / "config.json"), specs)
    if spec.own_arithmetic:
        dtype = None
    weights = spec.read_weights(folder, spec, config)
    card = read_card(folder)
    companions = spec.read_companions(folder, config)
    network = weights.network(config.dtype, device)
    size = NetworkSize(weights.parameters, config.rows_per_input)
    golden = replay_golden(folder, spec, network, companions, size)
    if dtype is not None and dtype != config.dtype:
        network = weights.network(dtype, device)
        golden = replay_golden(folder, spec, network, companions, size, reduced=dtype)
    return Checkpoint(
        path=folder,
        spec=spec,
        config=config,
        network=network,
        companions=companions,
        dtype=dtype or config.dtype,
        fingerprint=_fingerprint(folder, raw, weights, config),
        parameters=weights.parameters,
        card=card,
        golden=golden,
    )


def _fingerprint(folder: Path, raw: bytes, weights: Weights[Any], config: ArchitectureConfig) -> str:
    """Return the SHA-256 over config.json, the weights and the preprocessing files, in hexadecimal."""
    digest = hashlib.sha256()

    def add(label: str, content: bytes | bytearray) -> None:
        # Lengths go in too, so that no two contents run together to the same bytes.
        digest.update(f"{label}\n{len(content)}\n".encode())
        digest.update(content)

    add("config.json", raw)
    for label, content in weights.contents():
        add(label, content)
    for name in dict.fromkeys((*PREPROCESSING, *config.companion_files)):
        if (folder / name).is_file():
            add(name, read_file(folder / name, MAX_PREPROCESSING_BYTES, "a file that the fingerprint covers"))
    return digest.hexdigest()
