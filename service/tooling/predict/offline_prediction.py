"""One prediction of one model without a server, for `unroll predict`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.domain.errors import InvalidRequest, ModelFolderError
from service.domain.operations import Predict, PredictOptions
from service.nets.config.architecture_config import ArchitectureConfig
from service.nets.config.loader import read_config_bytes
from service.nets.network_spec import parse_config
from service.tasks.architecture_spec import AnyArchitecture
from service.tasks.architectures import ARCHITECTURES, version_folders
from service.tooling.architecture_tools import ArchitectureTools, tools_of
from service.tooling.predict.arguments import PredictionArguments


@dataclass(frozen=True, slots=True)
class OfflinePrediction:
    """The folder of a version, the operation to run, and the tools of its architecture."""

    folder: Path
    config: ArchitectureConfig
    operation: Predict
    tools: ArchitectureTools[Any]

    def render(self, output: dict[str, Any]) -> str:
        """Return the output as text for people."""
        return self.tools.render(self.config, self.operation, output)


def prepare(
    model: str,
    models: Path,
    arguments: PredictionArguments,
    options: PredictOptions,
    architectures: Sequence[AnyArchitecture] = ARCHITECTURES,
) -> OfflinePrediction:
    """Find the model and read its input. Raises ModelFolderError, InvalidRequest."""
    folder = _find(model, models)
    spec, config = parse_config(read_config_bytes(folder), str(folder / "config.json"), architectures)
    if arguments.vector is not None and config.vector_size is None:
        raise InvalidRequest(f"--vector is given: expected none, since {model} begins with no vector")
    tools = tools_of(spec)
    return OfflinePrediction(folder, config, Predict(tools.read_input(model, config, arguments), options), tools)


def _find(model: str, models: Path) -> Path:
    """Return the folder `model`, or the newest version of the model of that name."""
    folder = Path(model)
    if (folder / "config.json").is_file():
        return folder
    folders = [path for path in version_folders(models) if path.parent.name == model]
    if not folders:
        raise ModelFolderError(f"{models}: found no model {model!r}, expected one with <version>/config.json")
    return folders[-1]
