"""Offline tools of forecasters."""

import json
from pathlib import Path
from typing import Any, Literal, cast

from service.domain.errors import InvalidRequest, ModelFolderError
from service.domain.operations import Predict, SeriesInput
from service.nets.config.forecaster_config import PREPROCESSOR_FILE, ForecasterConfig
from service.nets.forecast_inputs.preprocessor import MAX_FILE_BYTES
from service.tasks.base import AnyTask
from service.tasks.forecasting.task import ForecastingTask
from service.tooling.architecture_tools import ArchitectureTools
from service.tooling.inspect.inventory import Inventory, Proposal
from service.tooling.inspect.proposal_forecaster import find_input_projection, propose_forecaster
from service.tooling.pack.companion_files import CompanionFiles, copy_file
from service.tooling.predict.arguments import PredictionArguments
from service.tooling.predict.forecast_table import forecast_table
from service.tooling.predict.series_file import read_future, read_series
from service.tooling.verify.forecast_quality import ForecastErrors

#: The preprocessor of a network that reads unscaled numbers.
IDENTITY: Literal["identity"] = "identity"


class ForecasterTools(ArchitectureTools[ForecasterConfig]):
    """Tools of forecasters, which read numbers with a preprocessor."""

    def recognizes(self, parts: Inventory) -> bool:
        return len(parts.groups) == 1 and not parts.embeddings

    def describe(self, parts: Inventory) -> str:
        group, before = parts.groups[0], find_input_projection(parts)
        reads = group.input_size if before is None else before.columns
        behind = [layer for layer in parts.linears if layer is not before]
        answers = behind[-1].rows if behind else group.output_size
        return (
            f"forecasting, regression or classification: it reads {reads} number{'s' * (reads != 1)} "
            f"per timestep and answers {answers}"
        )

    def propose(self, parts: Inventory) -> Proposal:
        return propose_forecaster(parts)

    def check_companions(self, target: Path, config: ForecasterConfig, files: CompanionFiles) -> None:
        for kind, path in (("word list", files.vocab), ("tokenizer", files.tokenizer)):
            if path is not None:
                raise ModelFolderError(f"{path}: found a {kind}, expected none: a forecaster reads numbers, not text")
        if files.preprocessor is None:
            raise ModelFolderError(
                f"{target}: found no preprocessor, expected --preprocessor FILE with the mean and scale of each "
                "feature in training, or --preprocessor identity for a network that reads the numbers as they are"
            )

    def write_companions(self, folder: Path, config: ForecasterConfig, files: CompanionFiles) -> None:
        if files.preprocessor == IDENTITY:
            _write_identity(folder / PREPROCESSOR_FILE, config)
        elif files.preprocessor is not None:
            copy_file(files.preprocessor, folder / PREPROCESSOR_FILE, MAX_FILE_BYTES, "a preprocessor")

    def explain_shape(self, name: str, config: ForecasterConfig) -> str:
        """Explain the rows of the output layer."""
        if name not in {"output.weight", "output.bias"}:
            return ""
        steps = f"horizon {config.steps} x " if config.context is None else ""
        numbers = f"{config.parameters} numbers of {config.distribution} in a row each"
        return f": {steps}{len(config.target)} targets x {numbers}"

    def metric(self, data: Path, task: AnyTask) -> ForecastErrors:
        return ForecastErrors(data, cast("ForecastingTask", task))

    def read_input(self, model: str, config: ForecasterConfig, arguments: PredictionArguments) -> SeriesInput:
        features = ", ".join(config.features)
        if arguments.text is not None:
            raise InvalidRequest(
                f"TEXT is {arguments.text!r}: expected --csv FILE, since {model} reads observations ({features})"
            )
        if arguments.series is None:
            raise InvalidRequest(
                f"--csv is missing: expected a file of observations, with a column for each of {features}"
            )
        series = read_series(arguments.series, config.features)
        if arguments.future is None:
            return series
        if not config.known:
            raise InvalidRequest(
                f"--future is {arguments.future}: expected none, since {model} has no known covariates"
            )
        future = read_future(arguments.future, config.known, series.timestamps[-1] if series.timestamps else None)
        return SeriesInput(series.values, series.flat, series.timestamps, future)

    def render(self, config: ForecasterConfig, operation: Predict, output: dict[str, Any]) -> str:
        return forecast_table(output, _times_ahead(config, operation, output["horizon"]))


def _times_ahead(config: ForecasterConfig, operation: Predict, steps: int) -> list[int] | None:
    """Return the times of the steps ahead in microseconds since 1970, or None if they are not known."""
    series = operation.input
    times = series.timestamps if isinstance(series, SeriesInput) else None
    if times is None or config.step_seconds is None:
        return None
    return [times[-1] + 1_000_000 * config.step_seconds * step for step in range(1, steps + 1)]


def _write_identity(path: Path, config: ForecasterConfig) -> None:
    count = len(config.features)
    fields = {
        "format_version": 1,
        "features": config.features,
        "mean": [0.0] * count,
        "scale": [1.0] * count,
        "frequency": config.frequency,
        "clamp": None,
        "missing": "last",
    }
    path.write_text(json.dumps(fields, indent=2) + "\n", "utf-8")
