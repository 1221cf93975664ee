"""One prediction of one model without a server, for `unroll predict`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.domain.errors import InvalidRequest, ModelFolderError
from service.domain.operations import Predict, PredictOptions, SeriesInput, TextInput
from service.nets.config.architecture_config import ArchitectureConfig
from service.nets.config.forecaster_config import ForecasterConfig
from service.nets.config.loader import read_config_bytes
from service.nets.network_spec import parse_config
from service.tasks.registry import ARCHITECTURES, version_folders
from service.tooling.predict.forecast_table import forecast_table
from service.tooling.predict.series_file import read_future, read_series


@dataclass(frozen=True, slots=True)
class PredictionArguments:
    """Arguments of the command line: a text, or files of observations and of known covariates."""

    text: str | None = None
    series: Path | None = None
    future: Path | None = None


@dataclass(frozen=True, slots=True)
class OfflinePrediction:
    """The folder of a version, and the operation to run."""

    folder: Path
    config: ArchitectureConfig
    operation: Predict

    def render(self, output: dict[str, Any]) -> str:
        """Return the output as text for people."""
        if isinstance(self.config, ForecasterConfig):
            return forecast_table(output, self._times_ahead(self.config, output["horizon"]))
        words = [f"{token['probability']:.4f}  {token['token']}" for token in output.get("predictions", [])]
        return "\n".join([*words, *(translation["text"] for translation in output.get("translations", []))])

    def _times_ahead(self, config: ForecasterConfig, steps: int) -> list[int] | None:
        series = self.operation.input
        times = series.timestamps if isinstance(series, SeriesInput) else None
        if times is None or config.step_seconds is None:
            return None
        return [times[-1] + 1_000_000 * config.step_seconds * step for step in range(1, steps + 1)]


def prepare(model: str, models: Path, arguments: PredictionArguments, options: PredictOptions) -> OfflinePrediction:
    """Find the model and read its input. Raises ModelFolderError, InvalidRequest."""
    folder = _find(model, models)
    _, config = parse_config(read_config_bytes(folder), str(folder / "config.json"), ARCHITECTURES)
    model_input = _series(model, config, arguments) if isinstance(config, ForecasterConfig) else _text(model, arguments)
    return OfflinePrediction(folder, config, Predict(model_input, options))


def _find(model: str, models: Path) -> Path:
    """Return the folder `model`, or the newest version of the model of that name."""
    folder = Path(model)
    if (folder / "config.json").is_file():
        return folder
    folders = [path for path in version_folders(models) if path.parent.name == model]
    if not folders:
        raise ModelFolderError(f"{models}: found no model {model!r}, expected one with <version>/config.json")
    return folders[-1]


def _series(model: str, config: ForecasterConfig, arguments: PredictionArguments) -> SeriesInput:
    features = ", ".join(config.features)
    if arguments.text is not None:
        raise InvalidRequest(
            f"TEXT is {arguments.text!r}: expected --csv FILE, since {model} reads observations ({features})"
        )
    if arguments.series is None:
        raise InvalidRequest(f"--csv is missing: expected a file of observations, with a column for each of {features}")
    series = read_series(arguments.series, config.features)
    if arguments.future is None:
        return series
    if not config.known:
        raise InvalidRequest(f"--future is {arguments.future}: expected none, since {model} has no known covariates")
    future = read_future(arguments.future, config.known, series.timestamps[-1] if series.timestamps else None)
    return SeriesInput(series.values, series.flat, series.timestamps, future)


def _text(model: str, arguments: PredictionArguments) -> TextInput:
    for option, file in (("--csv", arguments.series), ("--future", arguments.future)):
        if file is not None:
            raise InvalidRequest(f"{option} is {file}: expected TEXT alone, since {model} reads words")
    if arguments.text is None:
        raise InvalidRequest(f"TEXT is missing: expected what {model} should read")
    return TextInput(text=arguments.text)
