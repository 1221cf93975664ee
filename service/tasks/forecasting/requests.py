"""Requests to a forecaster, read from the operations that all tasks share and validated against the model."""

from dataclasses import dataclass

import numpy as np

from service.domain.errors import InvalidRequest
from service.domain.operations import Infer, OpenSession, Operation, Predict, PredictOptions, SeriesInput
from service.nets.config.forecaster_config import ForecasterConfig
from service.nets.forecast_inputs.preprocessor import Preprocessor
from service.nets.forecast_inputs.scaling import Numbers
from service.tasks.forecasting.session_state import StreamState
from service.tasks.forecasting.timestamps import RegularizedRows, continue_times, read_times, regularize_rows
from service.tasks.inputs import read_rows, require_series
from service.tasks.options import convert_options

#: The largest number of values of all sample paths in one output.
MAX_SAMPLED_VALUES = 200_000


@dataclass(frozen=True, slots=True)
class ForecastOptions:
    """The options of a forecast.

    `horizon` is a number of steps, None for the model's limit. `quantiles` are levels in (0, 1). `samples` is the
    number of sample paths, drawn with `seed`.
    """

    horizon: int | None = None
    quantiles: tuple[float, ...] = (0.1, 0.5, 0.9)
    samples: int = 0
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class ForecastRequest:
    """The rows to feed, and the forecast after them.

    `horizon` is the number of steps ahead and `known` (horizon, covariates) are their scaled known covariates. `flat`
    asks for numbers in the output instead of rows of one number.
    """

    rows: RegularizedRows
    known: Numbers
    horizon: int
    flat: bool
    options: ForecastOptions


def read_request(
    operation: Operation, state: StreamState, preprocessor: Preprocessor, max_rows: int
) -> ForecastRequest:
    """Return an operation on `state` as a request to a forecaster.

    Raises InvalidRequest for an operation, input or option that does not fit the model or the state, InputTooLong for
    more than `max_rows` rows.
    """
    if isinstance(operation, OpenSession):
        raise InvalidRequest(
            "input is given: expected none, since only a translation's session is created with one", param="input"
        )
    if not isinstance(operation, Predict):
        raise InvalidRequest("the model forecasts numbers: expected predict or a step", param="model")
    options = convert_options(operation.options, ForecastOptions, "forecasting")
    series = _read_series(operation)
    config = preprocessor.config
    horizon = _read_horizon(options, config)
    _check_distribution(operation.options, config)
    _check_samples(options, horizon, config)
    if series.values is None and not state.count:
        raise InvalidRequest(
            "input.values is missing: expected at least one observation before a forecast", param="input.values"
        )
    values = _read_values(series, state, preprocessor, max_rows)
    if isinstance(operation, Infer):
        series = continue_times(series, state, preprocessor)
    times = read_times(series, state, preprocessor)
    rows = regularize_rows(values, times, state, preprocessor, max_rows)
    if config.calendar and rows.last_time is None:
        raise InvalidRequest(
            "input.timestamps is missing: expected rows with times, since the model reads the calendar "
            f"({', '.join(config.calendar)}) and the time of this session's last row is unknown",
            param="input.timestamps",
        )
    flat = len(config.features) == 1 if series.values is None else series.flat
    return ForecastRequest(rows, _read_known(series, horizon, preprocessor), horizon, flat, options)


def _read_series(operation: Predict) -> SeriesInput:
    series = SeriesInput(None) if operation.input is None else require_series(operation.input)
    if series.target is not None:
        raise InvalidRequest(
            "input.target is given: expected none, since a forecast is compared with the rows that follow it",
            param="input.target",
        )
    return series


def _read_horizon(options: ForecastOptions, config: ForecasterConfig) -> int:
    horizon = config.horizon if options.horizon is None else options.horizon
    if horizon > config.horizon:
        raise InvalidRequest(
            f"options.horizon is {horizon}: expected at most {config.horizon}, the model's limit",
            param="options.horizon",
        )
    return horizon


def _check_distribution(options: PredictOptions, config: ForecasterConfig) -> None:
    """Raise InvalidRequest for quantiles and samples in the request, if the model forecasts points."""
    if config.distribution != "point":
        return
    requested = {"quantiles": "quantiles" in options.given and options.quantiles, "samples": options.samples}
    for name, value in requested.items():
        if value:
            raise InvalidRequest(
                f"options.{name} is given: expected none, since the model forecasts points, not distributions",
                param=f"options.{name}",
            )


def _check_samples(options: ForecastOptions, horizon: int, config: ForecasterConfig) -> None:
    limit = MAX_SAMPLED_VALUES // (horizon * len(config.target))
    if options.samples > limit:
        raise InvalidRequest(
            f"options.samples is {options.samples}: expected at most {limit} for {horizon} steps",
            param="options.samples",
        )


def _read_values(series: SeriesInput, state: StreamState, preprocessor: Preprocessor, max_rows: int) -> Numbers:
    """Return the rows (n, F) of a series, with NaN where a value is missing."""
    values = read_rows(series, preprocessor.config.features, max_rows)
    if preprocessor.config.static:
        _check_static(values, state, preprocessor)
    return values


def _check_static(values: Numbers, state: StreamState, preprocessor: Preprocessor) -> None:
    """Raise InvalidRequest for a static feature that changes by more than the precision of the stored float32."""
    scaled = preprocessor.scale_values(values)
    for column in preprocessor.static:
        first = state.history.last[column] if state.count else None
        for index, value in enumerate(scaled[:, column]):
            if np.isnan(value):
                continue
            first = value if first is None else first
            if abs(value - first) > 1e-5 * max(1.0, abs(first)):
                before = first * preprocessor.scale[column] + preprocessor.mean[column]
                field = f"input.values[{index}][{column}]"
                raise InvalidRequest(
                    f"{field} is {values[index, column]:g}: expected {before:g} as before, or null, "
                    f"since {preprocessor.config.features[column]} is static",
                    param=field,
                )


def _read_known(series: SeriesInput, horizon: int, preprocessor: Preprocessor) -> Numbers:
    """Return the scaled known covariates (horizon, covariates) of the steps ahead."""
    names = preprocessor.config.known
    if not names:
        if series.future is not None:
            raise InvalidRequest(
                "input.future is given: expected none, since the model has no known covariates", param="input.future"
            )
        return np.zeros((horizon, 0))
    expected = f"one row of {len(names)} ({', '.join(names)}) for each of the {horizon} steps ahead"
    if series.future is None:
        raise InvalidRequest(f"input.future is missing: expected {expected}", param="input.future")
    if len(series.future) != horizon:
        raise InvalidRequest(f"input.future has {len(series.future)} rows: expected {expected}", param="input.future")
    for index, row in enumerate(series.future):
        if len(row) != len(names):
            raise InvalidRequest(
                f"input.future[{index}] has {len(row)} numbers: expected {expected}", param=f"input.future[{index}]"
            )
    return preprocessor.scale_known(np.array(series.future, dtype=np.float64).reshape(horizon, len(names)))
