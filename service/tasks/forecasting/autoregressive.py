"""Autoregressive forecasts: each of many paths draws the next step, feeds it to a copy of the state, and so on.

The session keeps the state before that. Mean and quantiles are those of the paths.
"""

import numpy as np
from torch import Tensor

from service.nets.forecast_inputs.preprocessor import Numbers, Preprocessor, Times
from service.tasks.forecasting.direct import DirectForecast, ForwardPass, FutureInputs, generator_of
from service.tasks.forecasting.distributions import EDGE
from service.tasks.forecasting.requests import ForecastRequest
from service.tasks.forecasting.session_state import StreamState

#: Paths that mean and quantiles come from, at least.
PATHS = 100


class AutoregressiveForecast(DirectForecast):
    """Looks one step ahead at a time, along many paths at once."""

    def __init__(self, standing: StreamState, request: ForecastRequest, preprocessor: Preprocessor) -> None:
        super().__init__(standing, request, preprocessor)
        self._count = 1 if preprocessor.config.distribution == "point" else max(PATHS, request.options.samples)
        shape = (request.horizon, len(self._preprocessor.target))
        self._uniforms = generator_of(request).uniform(EDGE, 1 - EDGE, (self._count, *shape))
        self._drawn: Numbers = np.empty((self._count, *shape))
        self._times = preprocessor.times_after(request.rows.after, request.horizon)
        self._steps = 0

    @property
    def wants(self) -> ForwardPass:
        """What the next timestep should do."""
        if not self._steps:
            return super().wants
        return ForwardPass(self._states, self._path_inputs()[:, None], None, self._path_ahead(self._steps))

    def _look(self) -> FutureInputs:
        return self._ahead(1)

    def _see(self, seen: Numbers) -> None:
        """Draw the next step of every path: seen (1 or paths, 1, T, P)."""
        step = self._distribution(np.broadcast_to(seen[:, 0], (self._count, *seen.shape[2:])))
        if not self._steps:
            self._states = self._states.expand(self._count, -1)
        at = self._steps
        self._drawn[:, at] = step.mean() if step.kind == "point" else step.quantile(self._uniforms[:, at])
        self._steps += 1
        self.finished = self._steps == self._request.horizon

    def _settle(self, network: Tensor) -> None:
        if not self._steps:
            super()._settle(network)

    def _fed_back(self, step: int) -> Numbers:
        """Return what every path drew for a step, as far out as the network is told: (paths, T)."""
        return np.clip(self._drawn[:, step], -self._preprocessor.clamp, self._preprocessor.clamp)

    def _times_of(self, at: int) -> Times | None:
        """Return the time of step `at` (from 0), once for each path."""
        return None if self._times is None else np.repeat(self._times[at : at + 1], self._count)

    def _path_inputs(self) -> Numbers:
        """Return the inputs (paths, W) that the last drawn step makes."""
        pre, at = self._preprocessor, self._steps - 1
        filled = np.tile(self._trail.last, (self._count, 1))
        filled[:, pre.known] = self._request.known[at]
        filled[:, pre.target] = self._fed_back(at)
        return pre.assemble(filled, np.zeros(filled.shape, bool), self._times_of(at))

    def _path_ahead(self, at: int) -> FutureInputs:
        """Return what is known of step `at` (from 0) of every path."""
        pre, trail = self._preprocessor, self._trail
        season = np.zeros((self._count, 0))
        if pre.config.season:
            past = at - pre.config.season
            season = self._fed_back(past) if past >= 0 else np.tile(trail.history[at], (self._count, 1))
        known = np.tile(self._request.known[at], (self._count, 1))
        return FutureInputs(
            1, pre.future_features(self._times_of(at), known, season), pre.base(season, self._fed_back(at - 1))
        )

    def _mean(self) -> Numbers:
        found: Numbers = self._drawn.mean(0)
        return found

    def _quantile(self, level: float) -> Numbers:
        found: Numbers = np.quantile(self._drawn, level, axis=0)
        return found

    def _paths(self, count: int) -> Numbers:
        return self._drawn[:count]
