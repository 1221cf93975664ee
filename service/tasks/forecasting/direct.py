"""One forecast under way: feeds its rows, scoring each against what was expected, then looks ahead.

A direct forecast is told all steps by the pass that feeds the last row; `path_forecasts.py` has the other kind.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special
from torch import Tensor

from service.domain.operations import ForecastCheck, Json, Outcome
from service.nets.forecast_inputs.preprocessor import Numbers, Preprocessor
from service.tasks.forecasting.distributions import EDGE, Distribution, anomaly_scores, rounded
from service.tasks.forecasting.requests import ForecastRequest
from service.tasks.forecasting.session_state import StreamState
from service.tasks.numbers import round_digits

#: Rows of one operation that one timestep of the engine feeds: more would keep the others waiting.
CHUNK = 32


@dataclass(frozen=True, slots=True)
class FutureInputs:
    """What is known of `steps` steps ahead for each of n states: beside (n steps, K), base (n steps, T)."""

    steps: int
    beside: Numbers
    base: Numbers


@dataclass(frozen=True, slots=True)
class ScoringRequest:
    """Which of the rows that are fed are compared with what was expected one row before, and what was known of them."""

    rows: list[int]
    known: FutureInputs


@dataclass(frozen=True, slots=True)
class ForwardPass:
    """What a forecast wants of a timestep: feed rows (n, k, W) to its n states, score some of them, then look ahead."""

    states: Tensor
    inputs: Numbers | None
    check: ScoringRequest | None
    look: FutureInputs | None


@dataclass(frozen=True, slots=True)
class ForecastInputs:
    """A timestep's results: states (n, R), parameters (m, 1, T, P) of rows scored, (n, k, T, P) of steps ahead."""

    states: Tensor
    scored: Numbers | None
    seen: Numbers | None


class DirectForecast:
    """A forecast or a step of a stream: direct, and the base of the autoregressive kind."""

    def __init__(self, standing: StreamState, request: ForecastRequest, preprocessor: Preprocessor) -> None:
        self.state: StreamState = standing
        self.finished = False
        self._before = standing
        self._request = request
        self._preprocessor = preprocessor
        self._rows = preprocessor.transform(request.rows.values, request.rows.times, standing.trail.last)
        self._known = preprocessor.past_inputs(standing.trail, request.rows.times, self._rows.filled)
        self._trail = preprocessor.advance(standing.trail, self._rows.filled)
        # Rows that there is a forecast of, and anything to compare.
        present = ~np.isnan(self._rows.scaled[:, preprocessor.target])
        self._comparable: NDArray[np.bool_] = np.asarray(present.any(1))
        self._comparable[: max(0, 1 - standing.count)] = False
        self._states = standing.network[None]
        self._fed = 0
        self._scored: list[Numbers] = []
        self._levels = np.array(preprocessor.config.quantiles)
        self._forecast: Distribution | None = None

    @property
    def wants(self) -> ForwardPass:
        """What the next timestep should do."""
        count = len(self._rows.filled)
        chunk = slice(self._fed, min(self._fed + CHUNK, count))
        look = self._look() if chunk.stop == count else None
        if chunk.start == count:
            return ForwardPass(self._states, None, None, look)
        return ForwardPass(self._states, self._rows.inputs[None, chunk], self._check_of(chunk), look)

    def update(self, told: ForecastInputs) -> None:
        """Take the result of a timestep."""
        self._states = told.states
        if told.scored is not None:
            self._scored.append(told.scored[:, 0])
        self._fed = min(self._fed + CHUNK, len(self._rows.filled))
        if told.seen is not None:
            self._settle(told.states[0])
            self._see(told.seen)

    def _see(self, seen: Numbers) -> None:
        self._forecast = self._distribution(seen[0])
        self.finished = True

    def _look(self) -> FutureInputs:
        return self._ahead(self._request.horizon)

    def _ahead(self, steps: int) -> FutureInputs:
        times = self._preprocessor.times_after(self._request.rows.after, steps)
        beside, base = self._preprocessor.future_inputs(self._trail, times, self._request.known[:steps])
        return FutureInputs(steps, beside, base)

    def _check_of(self, chunk: slice) -> ScoringRequest | None:
        """Say what was known of those rows of a chunk that can be compared."""
        rows = np.flatnonzero(self._comparable[chunk])
        if not len(rows):
            return None
        beside, base = (known[chunk][rows] for known in self._known)
        return ScoringRequest(rows.tolist(), FutureInputs(1, beside, base))

    def _settle(self, network: Tensor) -> None:
        """Note where the stream stands once its rows are fed."""
        count = self._before.count + len(self._rows.filled)
        # A copy: the row is a view that would keep the whole batch's states alive.
        self.state = StreamState(count, self._request.rows.after, network.clone(), self._trail)

    def _distribution(self, parameters: Numbers) -> Distribution:
        return Distribution(self._preprocessor.config.distribution, parameters, self._levels)

    def outcome(self, state: bytes) -> Outcome:
        """Return the answer, in the units of the input."""
        output: dict[str, Json] = {
            "horizon": self._request.horizon,
            "features": [*self._preprocessor.config.target],
            **self._told(),
        }
        check = self._check()
        output["observed"] = None
        if check is not None:
            scores = dict(zip(np.flatnonzero(self._comparable).tolist(), check.anomaly_scores, strict=False))
            output["observed"] = {
                "mean_absolute_error": round_digits(check.absolute_error / check.values),
                "anomaly_scores": [
                    round_digits(scores[at]) if at in scores else None for at in self._request.rows.told
                ],
            }
        return Outcome(output, state, timesteps=len(self._request.rows.told), observation=check)

    def _told(self) -> dict[str, Json]:
        """Return mean, quantiles and samples."""
        options = self._request.options
        output: dict[str, Json] = {"mean": self._listed(self._mean()), "quantiles": {}}
        if self._preprocessor.config.distribution == "point":
            return output
        output["quantiles"] = {str(level): self._listed(self._quantile(level)) for level in options.quantiles}
        if options.samples:
            output["samples"] = [self._listed(path) for path in self._paths(options.samples)]
        return output

    @property
    def _foreseen(self) -> Distribution:
        assert self._forecast is not None  # noqa: S101 a finished forecast has looked ahead
        return self._forecast

    def _mean(self) -> Numbers:
        return self._foreseen.mean()

    def _quantile(self, level: float) -> Numbers:
        return self._foreseen.quantile(np.array(level))

    def _paths(self, count: int) -> Numbers:
        """Draw paths (count, horizon, T) whose steps follow one another with the model's correlation.

        A Gaussian copula over the steps: normal scores of an autoregression of order one, turned into quantiles.
        """
        correlation = self._preprocessor.config.path_correlation
        shape = (self._request.horizon, len(self._preprocessor.target))
        scores = generator_of(self._request).standard_normal((count, *shape))
        for step in range(1, shape[0]):
            fresh = scores[:, step] * np.sqrt(1 - correlation**2)
            scores[:, step] = correlation * scores[:, step - 1] + fresh
        return self._foreseen.quantile(np.clip(special.ndtr(scores), EDGE, 1 - EDGE))

    def _check(self) -> ForecastCheck | None:
        """Compare the rows with what was expected of them one step before."""
        if not self._scored:
            return None
        expected = self._distribution(np.concatenate(self._scored))
        came = self._rows.scaled[self._comparable][:, self._preprocessor.target]
        errors = np.abs(self._preprocessor.unscale(came) - self._preprocessor.unscale(expected.mean()))
        scores = () if expected.kind == "point" else tuple(anomaly_scores(expected, came).tolist())
        return ForecastCheck(int((~np.isnan(came)).sum()), float(np.nansum(errors)), scores)

    def _listed(self, scaled: Numbers) -> Json:
        """Return (horizon, T) in units, shaped as the client writes values."""
        pre = self._preprocessor
        numbers = rounded(pre.unscale(scaled), pre.scale[pre.target])
        listed: Json = (numbers[:, 0] if self._request.flat else numbers).tolist()
        return listed


def generator_of(request: ForecastRequest) -> np.random.Generator:
    """Return the random numbers of a forecast: without a seed those of seed 0, so that it can be repeated.

    Numbers are drawn path after path, so that the first paths are the same however many there are.
    """
    return np.random.default_rng(request.options.seed or 0)
