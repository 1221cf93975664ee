"""Offline tools of forecasters."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from torch import Tensor

from service.domain.errors import InvalidRequest
from service.domain.operations import Predict, SeriesInput
from service.nets.config.forecaster_config import PARAMETERS, ForecasterConfig
from service.nets.forecast_inputs.scaling import read_scaling
from service.tasks.base import AnyTask
from service.tasks.forecasting.task import ForecastingTask
from service.tooling.architecture_tools import ArchitectureTools
from service.tooling.architectures.numbers import (
    EXAMPLE_ROWS,
    check_numeric_companions,
    read_observations,
    write_preprocessor,
)
from service.tooling.inspect.inventory import Inventory, Proposal
from service.tooling.inspect.proposals.forecaster import find_input_projection, propose_forecaster
from service.tooling.inspect.proposals.self_feeding_decoder import has_decoder
from service.tooling.pack.companion_files import CompanionFiles
from service.tooling.pack.distribution_heads import join_heads
from service.tooling.predict.arguments import PredictionArguments
from service.tooling.predict.forecast_table import forecast_table
from service.tooling.predict.series_file import read_future
from service.tooling.verify.forecast_quality import ForecastErrors

#: The time of the first row that the printed example sends.
EXAMPLE_START = "2026-01-01T00:00:00Z"
#: Of the outputs in golden vectors: batch, steps, targets, parameters.
OUTPUT_DIMENSIONS = 4


class ForecasterTools(ArchitectureTools[ForecasterConfig]):
    """Tools of forecasters, which read numbers with a preprocessor."""

    def recognizes(self, parts: Inventory) -> bool:
        return (len(parts.groups) == 1 and not parts.embeddings) or has_decoder(parts)

    def describe(self, parts: Inventory) -> str:
        if has_decoder(parts):
            return "forecasting by an encoder and a decoder over numbers"
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
        check_numeric_companions(target, files)

    def write_companions(self, folder: Path, config: ForecasterConfig, files: CompanionFiles) -> None:
        write_preprocessor(folder, config.features, config.frequency, files)

    def told_by_vectors(self, fields: Mapping[str, Any], shapes: Mapping[str, Sequence[int]]) -> dict[str, object]:
        """Return horizon, distribution and, if they are all of the features, the targets."""
        shape, features = shapes.get("outputs.parameters", ()), fields["features"]
        if len(shape) != OUTPUT_DIMENSIONS:
            return {}
        _, steps, targets, parameters = shape
        names = [name for name, count in PARAMETERS.items() if count == parameters]
        return {
            "horizon": steps,
            **({"distribution": names[0]} if names else {}),
            **({"target": features} if targets == len(features) else {}),
        }

    def convert(self, source: Path, tensors: dict[str, Tensor], config: ForecasterConfig) -> list[str]:
        return join_heads(source, tensors, config)

    def explain_shape(self, name: str, config: ForecasterConfig) -> str:
        """Explain the rows of the output layer."""
        if name not in {"output.weight", "output.bias"}:
            return ""
        steps = f"horizon {config.steps} x " if config.context is None else ""
        numbers = f"{config.parameters} numbers of {config.distribution} in a row each"
        return f": {steps}{len(config.target)} targets x {numbers}"

    def example(self, folder: Path, config: ForecasterConfig) -> dict[str, Any]:
        scaling = read_scaling(folder, config.features, config.frequency)
        row = [float(number) for number in scaling.mean]
        example: dict[str, Any] = {"values": [row] * EXAMPLE_ROWS}
        if config.calendar:
            example["timestamps"] = {"start": EXAMPLE_START, "step_seconds": config.step_seconds or 3600}
        if config.known:
            known = [row[config.features.index(name)] for name in config.known]
            example["future"] = [known] * config.steps
        return example

    def metric(self, data: Path, task: AnyTask, config: ForecasterConfig) -> ForecastErrors:
        return ForecastErrors(data, cast("ForecastingTask", task))

    def read_input(self, model: str, config: ForecasterConfig, arguments: PredictionArguments) -> SeriesInput:
        series = read_observations(model, config.features, arguments)
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
