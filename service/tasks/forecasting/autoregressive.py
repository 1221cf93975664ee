"""Autoregressive forecasts: sample paths draw the next step, feed it to a copy of the state, and so on.

The session keeps the state before these steps. Mean and quantiles are those of the paths.
"""

import numpy as np
from torch import Tensor

from service.nets.forecast_inputs.preprocessor import Preprocessor, Times
from service.nets.forecast_inputs.scaling import Numbers
from service.tasks.forecasting.direct import DirectForecast, ForwardPass, FutureInputs, random_generator
from service.tasks.forecasting.distributions import UNIFORM_MARGIN
from service.tasks.forecasting.requests import ForecastRequest
from service.tasks.forecasting.session_state import StreamState

#: The smallest number of paths that mean and quantiles are computed from.
MIN_PATHS = 100
#: Paths that take as long as one row that is fed by itself.
PATHS_PER_ROW = 16


class AutoregressiveForecast(DirectForecast):
    """A forecast, or the step of a session, of a network that forecasts one step at a time, along many paths."""

    def __init__(self, state: StreamState, request: ForecastRequest, preprocessor: Preprocessor) -> None:
        super().__init__(state, request, preprocessor)
        samples = request.options.samples
        self._path_count = 1 if preprocessor.config.distribution == "point" else max(MIN_PATHS, samples)
        shape = (self._path_count, request.horizon, len(self._preprocessor.target))
        self._uniforms = random_generator(request).uniform(UNIFORM_MARGIN, 1 - UNIFORM_MARGIN, shape)
        self._drawn: Numbers = np.empty(shape)
        self._times = preprocessor.times_after(request.rows.last_time, request.horizon)
        self._steps = 0

    @property
    def next_cost(self) -> int:
        """The cost of the next timestep: a path takes less than a row of its own, since paths share the batch."""
        if not self._steps:
            return super().next_cost
        return self._rows_per_input * max(1, self._path_count // PATHS_PER_ROW)

    def next_pass(self) -> ForwardPass:
        """Return the work of the next timestep: rows of the input, then the last step of every path."""
        if not self._steps:
            return super().next_pass()
        return ForwardPass(self._states, self._path_inputs()[:, None], None, self._path_future_inputs())

    def _next_future_inputs(self) -> FutureInputs:
        return self._future_inputs(1)

    def _add_forecast(self, parameters: Numbers) -> None:
        """Draw the next step of every path, given its parameters (1 or paths, 1, T, P)."""
        step, count = self._steps, self._path_count
        distribution = self._distribution(np.broadcast_to(parameters[:, 0], (count, *parameters.shape[2:])))
        if not step:
            self._states = self._states.expand(count, -1)
        point = distribution.kind == "point"
        self._drawn[:, step] = distribution.mean() if point else distribution.quantile(self._uniforms[:, step])
        self._steps += 1
        self.finished = self._steps == self._request.horizon

    def _set_state(self, network: Tensor) -> None:
        if not self._steps:
            super()._set_state(network)

    def _clamped(self, step: int) -> Numbers:
        """Return the values (paths, T) that were drawn for a step, limited as the inputs of the network are."""
        return np.clip(self._drawn[:, step], -self._preprocessor.clamp, self._preprocessor.clamp)

    def _time_of(self, step: int) -> Times | None:
        """Return the time of a step (from 0), the same for all paths: (1,)."""
        return None if self._times is None else self._times[step : step + 1]

    def _path_inputs(self) -> Numbers:
        """Return the inputs (paths, W) of the step that was drawn last."""
        preprocessor, step = self._preprocessor, self._steps - 1
        filled = np.empty((self._path_count, len(self._history.last)))
        filled[:] = self._history.last
        filled[:, preprocessor.known] = self._request.known[step]
        filled[:, preprocessor.target] = self._clamped(step)
        return preprocessor.network_inputs(filled, np.zeros(filled.shape, bool), self._time_of(step))

    def _path_future_inputs(self) -> FutureInputs:
        """Return the future inputs of the next step of every path."""
        preprocessor, step, count = self._preprocessor, self._steps, self._path_count
        season = np.zeros((count, 0))
        if preprocessor.config.season:
            season_step = step - preprocessor.config.season
            targets = self._history.targets
            season = self._clamped(season_step) if season_step >= 0 else np.tile(targets[step], (count, 1))
        features = preprocessor.future_features(self._time_of(step), self._request.known[step : step + 1], season)
        return FutureInputs(1, features, preprocessor.base(season, self._clamped(step - 1)))

    def _mean(self) -> Numbers:
        mean: Numbers = self._drawn.mean(0)
        return mean

    def _quantiles(self, levels: Numbers) -> Numbers:
        quantiles: Numbers = np.quantile(self._drawn, levels, axis=0)
        return quantiles

    def _paths(self, count: int) -> Numbers:
        return self._drawn[:count]
