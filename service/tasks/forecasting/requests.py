"""What a forecaster is asked: inputs and options checked against the model."""

from dataclasses import dataclass

import numpy as np

from service.domain.errors import InputTooLong, InvalidRequest
from service.domain.operations import OpenSession, Operation, Predict, PredictOptions, SeriesInput
from service.nets.config.forecaster_config import ForecasterConfig
from service.nets.forecast_inputs.preprocessor import Numbers, Preprocessor
from service.tasks.forecasting.session_state import StreamState
from service.tasks.forecasting.timestamps import RegularizedRows, read_times, regular_rows
from service.tasks.inputs import require_series
from service.tasks.options import convert_options

#: Numbers of sampled paths in one answer.
MAX_SAMPLED = 200_000


@dataclass(frozen=True, slots=True)
class ForecastOptions:
    """The options of a forecast.

    `horizon` is a number of steps, None for the model's limit. `quantiles` are levels in (0, 1). `samples` is the
    number of paths to draw with `seed`.
    """

    horizon: int | None = None
    quantiles: tuple[float, ...] = (0.1, 0.5, 0.9)
    samples: int = 0
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class ForecastRequest:
    """New rows to feed, and the forecast to answer with.

    `known` (horizon, known) are the scaled known covariates of the steps ahead, `horizon` the number of these steps.
    `flat` asks for numbers in the answer instead of rows of one number.
    """

    rows: RegularizedRows
    known: Numbers
    horizon: int
    flat: bool
    options: ForecastOptions


def read_request(
    operation: Operation, standing: StreamState, preprocessor: Preprocessor, most_rows: int
) -> ForecastRequest:
    """Return what an operation means to a forecaster that stands at `standing`. Raises InvalidRequest, InputTooLong."""
    if isinstance(operation, OpenSession):
        raise InvalidRequest(
            "input is given: expected none, since only a translation's session is created with one", param="input"
        )
    if not isinstance(operation, Predict):
        raise InvalidRequest("the model forecasts numbers: expected predict or a step", param="model")
    options = convert_options(operation.options, ForecastOptions, "forecasting")
    given = SeriesInput(None) if operation.input is None else require_series(operation.input)
    config = preprocessor.config
    horizon = _horizon(options, config)
    _check_distribution(operation.options, config)
    _check_sampled_numbers(options, horizon, config)
    if given.values is None and not standing.count:
        raise InvalidRequest(
            "input.values is missing: expected at least one observation before a forecast", param="input.values"
        )
    values = _values(given, standing, preprocessor, most_rows)
    times = read_times(given, standing, preprocessor)
    rows = regular_rows(values, times, standing, preprocessor, most_rows)
    flat = len(config.features) == 1 if given.values is None else given.flat
    return ForecastRequest(rows, _known(given, horizon, preprocessor), horizon, flat, options)


def _horizon(options: ForecastOptions, config: ForecasterConfig) -> int:
    horizon = config.horizon if options.horizon is None else options.horizon
    if horizon > config.horizon:
        raise InvalidRequest(
            f"options.horizon is {horizon}: expected at most {config.horizon}, the model's limit",
            param="options.horizon",
        )
    return horizon


def _check_distribution(options: PredictOptions, config: ForecasterConfig) -> None:
    """Refuse quantiles that the client gave, and samples, where the model forecasts points."""
    if config.distribution != "point":
        return
    requested = {"quantiles": "quantiles" in options.given and options.quantiles, "samples": options.samples}
    for name, value in requested.items():
        if value:
            raise InvalidRequest(
                f"options.{name} is given: expected none, since the model forecasts points, not distributions",
                param=f"options.{name}",
            )


def _check_sampled_numbers(options: ForecastOptions, horizon: int, config: ForecasterConfig) -> None:
    if options.samples * horizon * len(config.target) > MAX_SAMPLED:
        raise InvalidRequest(
            f"options.samples is {options.samples}: expected at most {MAX_SAMPLED // (horizon * len(config.target))} "
            f"for {horizon} steps",
            param="options.samples",
        )


def _values(given: SeriesInput, standing: StreamState, preprocessor: Preprocessor, most: int) -> Numbers:
    """Return the rows (n, F) with NaN where missing."""
    config = preprocessor.config
    width = len(config.features)
    rows = given.values or ()
    if len(rows) > most:
        raise InputTooLong(f"input.values has {len(rows)} rows: expected at most {most}", param="input.values")
    for at, row in enumerate(rows):
        if len(row) != width:
            raise InvalidRequest(
                f"input.values[{at}] has {len(row)} number{'s' * (len(row) != 1)}: expected {width} "
                f"({', '.join(config.features)})",
                param=f"input.values[{at}]",
            )
    values = np.array(rows, dtype=np.float64).reshape(len(rows), width)
    if config.static:
        _check_static(values, standing, preprocessor)
    return values


def _check_static(values: Numbers, standing: StreamState, preprocessor: Preprocessor) -> None:
    """Refuse a static feature that changes, beyond what the stored float32 can tell."""
    scaled = preprocessor.scaled(values)
    for column in preprocessor.static:
        first = standing.trail.last[column] if standing.count else None
        for at, value in enumerate(scaled[:, column]):
            if np.isnan(value):
                continue
            first = value if first is None else first
            if abs(value - first) > 1e-5 * max(1.0, abs(first)):
                before = first * preprocessor.scale[column] + preprocessor.mean[column]
                raise InvalidRequest(
                    f"input.values[{at}][{column}] is {values[at, column]:g}: expected {before:g} as before, or null, "
                    f"since {preprocessor.config.features[column]} is static",
                    param=f"input.values[{at}][{column}]",
                )


def _known(given: SeriesInput, horizon: int, preprocessor: Preprocessor) -> Numbers:
    names = preprocessor.config.known
    if not names:
        if given.future is not None:
            raise InvalidRequest(
                "input.future is given: expected none, since the model has no known covariates", param="input.future"
            )
        return np.zeros((horizon, 0))
    wanted = f"one row of {len(names)} ({', '.join(names)}) for each of the {horizon} steps ahead"
    if given.future is None:
        raise InvalidRequest(f"input.future is missing: expected {wanted}", param="input.future")
    if len(given.future) != horizon:
        raise InvalidRequest(f"input.future has {len(given.future)} rows: expected {wanted}", param="input.future")
    for at, row in enumerate(given.future):
        if len(row) != len(names):
            raise InvalidRequest(
                f"input.future[{at}] has {len(row)} numbers: expected {wanted}", param=f"input.future[{at}]"
            )
    return preprocessor.scale_known(np.array(given.future, dtype=np.float64).reshape(horizon, len(names)))
