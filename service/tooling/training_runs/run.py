"""What the folder of a training run says of its network, and the base class of the readers of such folders."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from service.tooling.formats.network import SavedNetwork
from service.tooling.preprocessing.scaling import Scaler


@dataclass(frozen=True, slots=True)
class TrainingRun:
    """The file of the last weights, and what the folder says beside: `settings` are fields of config.json.

    `kind` is for messages. `adapt` returns the network of a file of the run with the names and layers that the settings
    are about. It raises ModelFolderError for tensors of another network than that of the settings.
    """

    kind: str
    weights: Path
    settings: Mapping[str, object]
    scaler: Scaler | None
    adapt: Callable[[Path, SavedNetwork], SavedNetwork]
    notes: tuple[str, ...] = ()


class RunReader(ABC):
    """Reader of the run folders of a library."""

    @abstractmethod
    def recognizes(self, names: Collection[str]) -> bool:
        """Return whether a folder with entries of these names is a run."""

    @abstractmethod
    def read(self, folder: Path, names: Collection[str]) -> TrainingRun:
        """Return what the folder says. Raises ModelFolderError for a network that is not served."""
