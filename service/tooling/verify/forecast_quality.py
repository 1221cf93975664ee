"""Mean absolute error of a forecaster on a given series, which it reads as a session does, one horizon of rows a step.

After a warm-up of a season or a horizon, whichever is longer, each step forecasts the rows of the next one. Every later
row is forecast once, up to the last whole horizon. The forecast is the median, or the point of a point forecaster.
"""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from service.domain.errors import InvalidRequest
from service.domain.operations import Outcome, Predict
from service.engine.runner import run_to_completion
from service.nets.forecast_inputs.scaling import Numbers
from service.tasks.base import AnyTask, RunningOperation
from service.tasks.forecasting.task import ForecastingTask
from service.tasks.numbers import round_digits
from service.tooling.predict.regular_series import read_regular_series


class ForecastErrors:
    """Mean absolute error over all targets and steps ahead, in the units of the data; missing values are left out."""

    name: ClassVar[str] = "mean_absolute_error"
    signature = None

    def __init__(self, data: Path, task: ForecastingTask) -> None:
        preprocessor = task.preprocessor
        config = self._config = preprocessor.config
        self._target, self._known = preprocessor.target, preprocessor.known
        self._series = read_regular_series(data, preprocessor, task.initial_state)
        rows, warm_up = len(self._series.rows), max(config.season, config.horizon)
        if rows < warm_up + config.horizon:
            raise InvalidRequest(
                f"{data} has {rows} rows: expected at least {warm_up + config.horizon}, {warm_up} before the first "
                f"forecast and {config.horizon}, the model's horizon, behind it"
            )
        self._origins = range(warm_up, rows - config.horizon + 1, config.horizon)
        self._check(warm_up, self._origins[-1] + config.horizon)

    def _check(self, begin: int, end: int) -> None:
        """Reject rows to forecast that lack known covariates, or that have no value at all. Raises InvalidRequest."""
        gaps = np.argwhere(np.isnan(self._series.numbers(begin, end, self._known)))
        if len(gaps):
            row, column = gaps[0].tolist()
            raise InvalidRequest(
                f"{self._series.location(begin + row)}: {self._config.known[column]} is missing, expected a number, "
                "since it is known in advance"
            )
        if np.isnan(self._series.numbers(begin, end, self._target)).all():
            raise InvalidRequest(
                f"{self._series.location(begin)}: {', '.join(self._config.target)}: found nothing but missing values "
                "from here on, expected some to compare the forecasts with"
            )

    def compute(self, task: AnyTask) -> float:
        """Return the mean absolute error."""
        state, errors = task.initial_state, []
        for begin, origin in pairwise([0, *self._origins]):
            step = self._step(task, state, begin, origin)
            (outcome,) = run_to_completion(task, [step])
            actual = self._series.numbers(origin, origin + self._config.horizon, self._target)
            errors.append(np.abs(self._median_forecast(outcome) - actual))
            state = step.state
        return round_digits(float(np.nanmean(errors)))

    def _step(self, task: AnyTask, state: Any, begin: int, origin: int) -> RunningOperation:  # noqa: ANN401 - the task's kind
        """Start the step that reads rows begin..origin-1 and forecasts the rows after them."""
        series = self._series.slice(begin, origin)
        if self._known:
            future = self._series.numbers(origin, origin + self._config.horizon, self._known)
            series = replace(series, future=tuple(map(tuple, future.tolist())))
        try:
            step: RunningOperation = task.start(Predict(series), state)
        except InvalidRequest as error:
            raise self._series.locate_error(error, begin) from error
        return step

    def _median_forecast(self, outcome: Outcome) -> Numbers:
        """Return the forecast of an outcome, (horizon, targets)."""
        output: dict[str, Any] = {**outcome.output}
        median = output["mean"] if self._config.distribution == "point" else output["quantiles"]["0.5"]
        return np.array(median, dtype=np.float64)
