"""Functions of the model folder that take specifications, called with those of all registered architectures."""

from pathlib import Path
from typing import Any

from service.domain.operations import ComputeDtype, Device
from service.model_folder import loader as model_folder
from service.model_folder.loader import Checkpoint
from service.nets import network_spec
from service.nets.config import loader as config_loader
from service.nets.network_spec import find_spec
from service.tasks.architecture_spec import AnyArchitecture
from service.tasks.architectures import ARCHITECTURES


def read_checkpoint(
    folder: Path, dtype: ComputeDtype | None = None, device: Device = "cpu"
) -> Checkpoint[AnyArchitecture]:
    return model_folder.read_checkpoint(folder, ARCHITECTURES, dtype, device)


def parse_config(content: bytes, place: str) -> Any:
    return network_spec.parse_config(content, place, ARCHITECTURES)[1]


def build_config(raw: dict[str, Any], place: str) -> Any:
    return config_loader.build_config(find_spec(raw, place, ARCHITECTURES).config_class, raw, place)


def with_state(raw: dict[str, Any], place: str) -> dict[str, Any]:
    return config_loader.with_state(find_spec(raw, place, ARCHITECTURES).config_class, raw, place)
