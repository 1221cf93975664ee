"""Forecast operations in progress: rows are fed and scored against their forecasts, then the next steps are forecast.

A direct forecast gets all steps from the pass that feeds the last row. The module `autoregressive` has the other kind.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special
from torch import Tensor

from service.domain.operations import ForecastCheck, Json, Outcome
from service.domain.rfc3339 import format_rfc3339
from service.nets.forecast_inputs.preprocessor import Preprocessor
from service.nets.forecast_inputs.scaling import Numbers
from service.tasks.base import NUMBERS_PER_ROW, inputs_per_timestep
from service.tasks.forecasting.distributions import UNIFORM_MARGIN, Distribution, anomaly_scores
from service.tasks.forecasting.requests import ForecastRequest
from service.tasks.forecasting.session_state import StreamState
from service.tasks.numbers import round_digits, round_to_scale

#: Inputs that one timestep of the engine feeds for an operation; more would delay the other operations.
CHUNK = 32


@dataclass(frozen=True, slots=True)
class FutureInputs:
    """Inputs of the output layers for `steps` steps ahead of n states.

    `features` (n * steps, K) are the future features and `base` (n * steps, T) the values that forecasts are added to.
    """

    steps: int
    features: Numbers
    base: Numbers


@dataclass(frozen=True, slots=True)
class ScoringRequest:
    """The indices of the rows to score, and the inputs of the forecasts one row before each of them."""

    rows: list[int]
    inputs: FutureInputs


@dataclass(frozen=True, slots=True)
class ForwardPass:
    """The work of one timestep for one forecast.

    The rows `inputs` (n, k, W) are fed to the `states` (n, R), some of them are scored, and then the steps of `future`
    are forecast. Each of these is None if there is nothing to do.
    """

    states: Tensor
    inputs: Numbers | None
    scoring: ScoringRequest | None
    future: FutureInputs | None


@dataclass(frozen=True, slots=True)
class ForecastOutputs:
    """The output of a timestep for one forecast: the states (n, R) and parameters of distributions, or None.

    `scored` (m, 1, T, P) are those of the m rows to score, and `forecast` (n, k, T, P) those of the k steps ahead.
    """

    states: Tensor
    scored: Numbers | None
    forecast: Numbers | None


class DirectForecast:
    """A forecast, or the step of a session, of a network that forecasts all steps at once.

    It is the base class of the autoregressive kind.
    """

    def __init__(self, state: StreamState, request: ForecastRequest, preprocessor: Preprocessor) -> None:
        self.state: StreamState = state
        self.finished = False
        self._request = request
        self._preprocessor = preprocessor
        self._rows = preprocessor.transform(request.rows.values, request.rows.times, state.history.last)
        self._past_inputs = preprocessor.past_inputs(state.history, request.rows.times, self._rows.filled)
        self._history = preprocessor.advance(state.history, self._rows.filled)
        # The rows with a target that is present and was forecast; the first row of a stream was not.
        present = ~np.isnan(self._rows.scaled[:, preprocessor.target])
        self._comparable: NDArray[np.bool_] = np.asarray(present.any(1))
        self._comparable[: max(0, 1 - state.count)] = False
        self._states = state.network[None]
        self._rows_per_input = preprocessor.config.rows_per_input
        self._chunk = inputs_per_timestep(CHUNK, self._rows_per_input)
        self._decodes = preprocessor.config.decoder is not None
        self._fed = 0
        self._scored: list[Numbers] = []
        self._levels = np.array(preprocessor.config.quantiles)
        self._forecast: Distribution | None = None

    @property
    def next_cost(self) -> int:
        """The number of rows that the next timestep feeds, those of windows and of a decoder included."""
        waiting = len(self._rows.filled) - self._fed
        rows = min(max(1, waiting), self._chunk)
        if not self._decodes:
            return self._rows_per_input * rows
        # A step of the decoder forecasts each row that is scored, and each step ahead behind the last row.
        ahead = self._request.horizon if waiting <= self._chunk else 0
        return (self._rows_per_input + 1) * rows + ahead

    @property
    def outcome_cost(self) -> int:
        """The cost of the outcome, by its numbers."""
        options = self._request.options
        series = 1 + len(options.quantiles) + options.samples
        return series * self._request.horizon * len(self._preprocessor.target) // NUMBERS_PER_ROW

    def next_pass(self) -> ForwardPass:
        """Return the work of the next timestep."""
        count = len(self._rows.filled)
        chunk = slice(self._fed, min(self._fed + self._chunk, count))
        future = self._next_future_inputs() if chunk.stop == count else None
        if chunk.start == count:
            return ForwardPass(self._states, None, None, future)
        return ForwardPass(self._states, self._rows.inputs[None, chunk], self._scoring_request(chunk), future)

    def update(self, outputs: ForecastOutputs) -> None:
        """Apply the outputs of a timestep to the operation."""
        self._states = outputs.states
        if outputs.scored is not None:
            self._scored.append(outputs.scored[:, 0])
        self._fed = min(self._fed + self._chunk, len(self._rows.filled))
        if outputs.forecast is not None:
            self._set_state(outputs.states[0])
            self._add_forecast(outputs.forecast)

    def _add_forecast(self, parameters: Numbers) -> None:
        """Process the parameters (1, horizon, T, P) of the steps ahead."""
        self._forecast = self._distribution(parameters[0])
        self.finished = True

    def _next_future_inputs(self) -> FutureInputs:
        return self._future_inputs(self._request.horizon)

    def _future_inputs(self, steps: int) -> FutureInputs:
        times = self._preprocessor.times_after(self._request.rows.last_time, steps)
        features, base = self._preprocessor.future_inputs(self._history, times, self._request.known[:steps])
        return FutureInputs(steps, features, base)

    def _scoring_request(self, chunk: slice) -> ScoringRequest | None:
        """Return the rows of a chunk that can be compared with their forecasts, None if there are none."""
        rows = np.flatnonzero(self._comparable[chunk])
        if not len(rows):
            return None
        features, base = (inputs[chunk][rows] for inputs in self._past_inputs)
        return ScoringRequest(rows.tolist(), FutureInputs(1, features, base))

    def _set_state(self, network: Tensor) -> None:
        """Set the state after all rows, given that of the network (R,)."""
        count = self.state.count + len(self._rows.filled)
        # A copy, since the row is a view that would keep the states of the whole batch in memory.
        self.state = StreamState(count, self._request.rows.last_time, network.clone(), self._history)

    def _distribution(self, parameters: Numbers) -> Distribution:
        return Distribution(self._preprocessor.config.distribution, parameters, self._levels)

    def outcome(self, state: bytes) -> Outcome:
        """Return the outcome in the units of the input, with `state` as its encoded state."""
        output: dict[str, Json] = {
            "horizon": self._request.horizon,
            "features": [*self._preprocessor.config.target],
            **self._forecast_output(),
        }
        times = self._request.rows.times_after(self._request.horizon)
        if times is not None:
            output["timestamps"] = [format_rfc3339(time) for time in times]
        indices = self._request.rows.indices
        check = self._check()
        output["observed"] = None
        if check is not None:
            scores = dict(zip(np.flatnonzero(self._comparable).tolist(), check.anomaly_scores, strict=False))
            output["observed"] = {
                "mean_absolute_error": round_digits(check.absolute_error / check.values),
                "anomaly_scores": [round_digits(scores[index]) if index in scores else None for index in indices],
            }
        return Outcome(output, state, timesteps=len(indices), observation=check)

    def _forecast_output(self) -> dict[str, Json]:
        """Return the output fields mean, quantiles and samples."""
        if self._preprocessor.config.distribution == "point":
            return {"mean": self._to_json(self._mean()), "quantiles": {}}
        options = self._request.options
        levels, count = options.quantiles, len(options.quantiles)
        parts = [self._mean()[None]]
        if levels:
            parts.append(self._quantiles(np.array(levels)))
        if options.samples:
            parts.append(self._paths(options.samples))
        # All series are rounded and converted together, since each call of NumPy costs as much as a series.
        mean, *others = self._to_json(np.concatenate(parts))
        quantiles: dict[str, Json] = {str(level): part for level, part in zip(levels, others, strict=False)}
        output: dict[str, Json] = {"mean": mean, "quantiles": quantiles}
        return {**output, "samples": others[count:]} if options.samples else output

    @property
    def _finished_forecast(self) -> Distribution:
        assert self._forecast is not None  # noqa: S101 a finished operation has a forecast
        return self._forecast

    def _mean(self) -> Numbers:
        return self._finished_forecast.mean()

    def _quantiles(self, levels: Numbers) -> Numbers:
        """Return the quantiles (levels, horizon, T) at `levels` (levels,)."""
        return self._finished_forecast.quantile(levels[:, None, None])

    def _paths(self, count: int) -> Numbers:
        """Draw sample paths (count, horizon, T) whose consecutive steps have the model's correlation.

        They are a Gaussian copula over the steps: normal scores of a first-order autoregression, mapped to quantiles.
        """
        correlation = self._preprocessor.config.path_correlation
        shape = (count, self._request.horizon, len(self._preprocessor.target))
        drawn = random_generator(self._request).standard_normal(shape)
        scores = np.ascontiguousarray(drawn.swapaxes(0, 1))
        scores[1:] *= np.sqrt(1 - correlation**2)
        for previous, current in pairwise(scores):
            np.add(current, correlation * previous, out=current)
        probabilities = np.clip(special.ndtr(scores), UNIFORM_MARGIN, 1 - UNIFORM_MARGIN)
        return self._finished_forecast.quantile(probabilities.swapaxes(0, 1))

    def _check(self) -> ForecastCheck | None:
        """Compare the rows with their forecasts of one step before; return None if there are no such rows."""
        if not self._scored:
            return None
        forecasts = self._distribution(np.concatenate(self._scored))
        actual = self._rows.scaled[self._comparable][:, self._preprocessor.target]
        errors = np.abs(self._preprocessor.unscale(actual) - self._preprocessor.unscale(forecasts.mean()))
        scores = () if forecasts.kind == "point" else tuple(anomaly_scores(forecasts, actual).tolist())
        return ForecastCheck(int((~np.isnan(actual)).sum()), float(np.nansum(errors)), scores)

    def _to_json(self, scaled: Numbers) -> Any:  # noqa: ANN401 - nested lists, as deep as the array
        """Return scaled values (..., horizon, T) in the units of the input, in the shape of the request's values."""
        preprocessor = self._preprocessor
        values = round_to_scale(preprocessor.unscale(scaled), preprocessor.scale[preprocessor.target])
        return (values[..., 0] if self._request.flat else values).tolist()


def random_generator(request: ForecastRequest) -> np.random.Generator:
    """Return the random generator of a forecast, with seed 0 if the request has none, so that it can be repeated.

    Numbers are drawn path after path, so that the first paths do not depend on how many are drawn.
    """
    return np.random.default_rng(request.options.seed or 0)
