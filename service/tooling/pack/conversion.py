"""Conversion of a checkpoint's tensors to the network that a configuration describes, without writing anything."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from service.nets.config.architecture_config import ArchitectureConfig
from service.nets.config.loader import build_config, with_state
from service.nets.network_spec import find_spec
from service.tasks.architecture_spec import AnyArchitecture
from service.tooling.architecture_tools import tools_of
from service.tooling.formats.network import SavedNetwork
from service.tooling.pack.companion_files import CompanionFiles
from service.tooling.pack.configuration.proposer import Configuration, Proposer
from service.tooling.pack.weights import conform, rename_tensors, without_vector_layers


@dataclass(frozen=True, slots=True)
class PackSource:
    """What a folder is made of beside a configuration: the tensors, the names that the user gives them, and files."""

    path: Path
    saved: SavedNetwork
    maps: Sequence[str]
    companions: CompanionFiles
    architectures: Sequence[AnyArchitecture]

    def proposer(self) -> Proposer:
        """Return what proposes configurations, which are not of tensors that `maps` make layers over a vector."""
        return Proposer(self.path, without_vector_layers(self.saved, self.maps), self.architectures)


@dataclass(frozen=True, slots=True)
class Converted:
    """The fields of config.json, and the tensors of the network that they describe."""

    raw: Mapping[str, Any]
    spec: AnyArchitecture
    config: ArchitectureConfig
    tensors: dict[str, Tensor]
    notes: tuple[str, ...]


def convert(source: PackSource, found: Configuration, place: str, target: Path) -> Converted:
    """Return the tensors of the network of a configuration; `place` names it in messages. Raises ModelFolderError."""
    spec = find_spec(found.fields, place, source.architectures)
    tools = tools_of(spec)
    raw = tools.complete(found.fields, source.companions)
    if "state" not in raw or found.settings:
        raw = with_state(spec.config_class, raw, place)
    config = build_config(spec.config_class, raw, place)
    tools.check_companions(target, config, source.companions)
    tensors, notes = conform(
        source.path, rename_tensors(source.path, source.saved.tensors, source.maps, found.names), spec, config
    )
    return Converted(raw, spec, config, tensors, tuple(notes))
