"""One prediction of one model without a server, for `unroll predict`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.domain.errors import InvalidRequest, ModelFolderError
from service.domain.operations import Predict, PredictOptions, SeriesInput, TextInput
from service.nets.config.forecaster_config import ForecasterConfig
from service.nets.config.loader import Config, parse_config, read_config_bytes
from service.tasks.registry import version_folders
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
    config: Config
    operation: Predict

    def render(self, output: dict[str, Any]) -> str:
        """Return the output as text for people."""
        if isinstance(self.config, ForecasterConfig):
            return forecast_table(output, self._times_ahead(self.config, output["horizon"]))
        words = [f"{one['probability']:.4f}  {one['token']}" for one in output.get("predictions", [])]
        return "\n".join([*words, *(one["text"] for one in output.get("translations", []))])

    def _times_ahead(self, config: ForecasterConfig, steps: int) -> list[int] | None:
        given = self.operation.input
        times = given.timestamps if isinstance(given, SeriesInput) else None
        if times is None or config.step_seconds is None:
            return None
        return [times[-1] + 1_000_000 * config.step_seconds * step for step in range(1, steps + 1)]


def prepare(model: str, models: Path, given: PredictionArguments, options: PredictOptions) -> OfflinePrediction:
    """Find the model and read its input. Raises ModelFolderError, InvalidRequest."""
    folder = _find(model, models)
    config = parse_config(read_config_bytes(folder), str(folder / "config.json"))
    asked = _series(model, config, given) if isinstance(config, ForecasterConfig) else _text(model, given)
    return OfflinePrediction(folder, config, Predict(asked, options))


def _find(model: str, models: Path) -> Path:
    """Return the folder `model`, or the newest version of the model of that name."""
    folder = Path(model)
    if (folder / "config.json").is_file():
        return folder
    folders = [path for path in version_folders(models) if path.parent.name == model]
    if not folders:
        raise ModelFolderError(f"{models}: found no model {model!r}, expected one with <version>/config.json")
    return folders[-1]


def _series(model: str, config: ForecasterConfig, given: PredictionArguments) -> SeriesInput:
    features = ", ".join(config.features)
    if given.text is not None:
        raise InvalidRequest(
            f"TEXT is {given.text!r}: expected --csv FILE, since {model} reads observations ({features})"
        )
    if given.series is None:
        raise InvalidRequest(f"--csv is missing: expected a file of observations, with a column for each of {features}")
    series = read_series(given.series, config.features)
    if given.future is None:
        return series
    if not config.known:
        raise InvalidRequest(f"--future is {given.future}: expected none, since {model} has no known covariates")
    future = read_future(given.future, config.known, series.timestamps[-1] if series.timestamps else None)
    return SeriesInput(series.values, series.flat, series.timestamps, future)


def _text(model: str, given: PredictionArguments) -> TextInput:
    for option, file in (("--csv", given.series), ("--future", given.future)):
        if file is not None:
            raise InvalidRequest(f"{option} is {file}: expected TEXT alone, since {model} reads words")
    if given.text is None:
        raise InvalidRequest(f"TEXT is missing: expected what {model} should read")
    return TextInput(text=given.text)
