"""Interface through which the offline tools handle any architecture."""

import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from torch import Tensor

from service.domain.operations import Input, Predict
from service.nets.config.architecture_config import ArchitectureConfig
from service.nets.config.sections import ROLES
from service.tasks.architecture_spec import AnyArchitecture
from service.tasks.base import AnyTask
from service.tooling.inspect.inventory import Inventory, Proposal, UnsupportedNetwork
from service.tooling.pack.companion_files import CompanionFiles
from service.tooling.predict.arguments import PredictionArguments
from service.tooling.verify.quality import Metric

ConfigT = TypeVar("ConfigT", bound=ArchitectureConfig)


class ArchitectureTools(ABC, Generic[ConfigT]):
    """The parts of `inspect`, `pack`, `verify` and `predict` that depend on the architecture."""

    #: Roles of special tokens that a vocabulary tells to `import`.
    vocabulary_roles: ClassVar[tuple[str, ...]] = ROLES

    @abstractmethod
    def recognizes(self, parts: Inventory) -> bool:
        """Return whether the parts of a checkpoint look like those of this architecture."""

    @abstractmethod
    def describe(self, parts: Inventory) -> str:
        """Return a description of a recognized network."""

    @abstractmethod
    def propose(self, parts: Inventory) -> Proposal:
        """Return the config.json and tensor names of a recognized network. Raises UnsupportedNetwork."""

    def accepts(self, parts: Inventory) -> bool:
        """Return whether the parts can be those of this architecture, if the user says so."""
        return self.recognizes(parts)

    def propose_task(self, parts: Inventory, task: str) -> Proposal:
        """Return the proposal for a task that the user states. Raises UnsupportedNetwork."""
        return self.propose(parts)

    def describe_unsupported(self, parts: Inventory, error: UnsupportedNetwork) -> str:
        """Return a description of a recognized network that is not served, with the reason."""
        return f"{self.describe(parts)}: {error}"

    def complete(self, raw: dict[str, Any], files: CompanionFiles) -> dict[str, Any]:
        """Return the fields of a config.json with those that follow from the files given to `pack`."""
        return raw

    @abstractmethod
    def check_companions(self, target: Path, config: ConfigT, files: CompanionFiles) -> None:
        """Check that the files given to `pack` suit the network. Raises ModelFolderError."""

    @abstractmethod
    def write_companions(self, folder: Path, config: ConfigT, files: CompanionFiles) -> None:
        """Write the files that decide how inputs are read. Raises ModelFolderError, and OSError for unreadable ones."""

    def told_by_vectors(self, fields: Mapping[str, Any], shapes: Mapping[str, Sequence[int]]) -> dict[str, object]:
        """Return the settings that follow from the shapes of golden vectors, for a network with these `fields`."""
        return {}

    def convert(self, source: Path, tensors: dict[str, Tensor], config: ConfigT) -> list[str]:
        """Convert the renamed tensors of a checkpoint in place, and return notes. Raises ModelFolderError."""
        return []

    def explain_shape(self, name: str, config: ConfigT) -> str:
        """Return the end of the message that a tensor has another shape than the configuration implies."""
        return ""

    @abstractmethod
    def example(self, folder: Path, config: ConfigT) -> dict[str, Any]:
        """Return an `input` that the model of a valid folder reads. Raises ModelFolderError."""

    @abstractmethod
    def metric(self, data: Path, task: AnyTask, config: ConfigT) -> Metric:
        """Return the metric of a model on the file `data`. Raises InvalidRequest naming file and line."""

    @abstractmethod
    def read_input(self, model: str, config: ConfigT, arguments: PredictionArguments) -> Input:
        """Return the input of a prediction of the model named `model`. Raises InvalidRequest."""

    @abstractmethod
    def render(self, config: ConfigT, operation: Predict, output: dict[str, Any]) -> str:
        """Return the output of a prediction as text for people."""


def tools_of(architecture: AnyArchitecture) -> ArchitectureTools[Any]:
    """Return the offline tools that a specification names."""
    tools: ArchitectureTools[Any] = pkgutil.resolve_name(architecture.tools)()
    return tools
