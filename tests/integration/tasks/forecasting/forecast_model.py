"""Small forecasters for tests, with the trainer that wrote them, and helpers for their requests."""

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.domain.errors import InvalidRequest
from service.domain.operations import Operation, Outcome, Predict, PredictOptions, SeriesInput, TextInput
from service.engine.runner import run_operation
from service.tasks.architectures import load_task
from service.tasks.forecasting.task import ForecastingTask
from service.tasks.limits import TextLimits
from tests.forecast_folders import future_of, read_trainer, times_of, write_forecaster
from tests.forecast_trainer import ForecastTrainer, Row
from tests.rounding import FORECAST

HALF_HOUR = 1_800_000_000
#: The tolerance of a forecast in the units of the test models, whose scales are 20 and more.
CLOSE = 20 * FORECAST
#: A direct forecaster with every option.
FULL: dict[str, Any] = {
    "features": ["a", "k", "c", "s"],
    "target": ["a", "c"],
    "known": ["k"],
    "static": ["s"],
    "calendar": ["hour_of_day", "day_of_week"],
    "missing_indicator": True,
    "distribution": "student_t",
    "season": 3,
    "output_residual": True,
    "context": {"size": 3, "activation": "tanh"},
    "local": {"size": 6, "activation": "relu"},
}
PATHS: dict[str, Any] = {
    "decoding": "autoregressive",
    "features": ["a", "k"],
    "target": ["a"],
    "known": ["k"],
    "calendar": ["hour_of_day"],
    "local": {"size": 4, "activation": "tanh"},
    "season": 3,
    "output_residual": True,
    "horizon": 6,
}
BOTH: dict[str, Any] = {"bidirectional": True, "readout": "last", "window": 6}
every_kind = pytest.mark.parametrize(
    "settings",
    [{}, FULL, PATHS, {"window": 7}, {**FULL, "window": 10}, {**PATHS, "window": 5}, BOTH],
    ids=["plain", "full", "paths", "window", "full window", "window of paths", "both directions"],
)


class Model:
    """A task and the trainer that wrote its folder."""

    def __init__(self, root: Path, **settings: Any) -> None:
        folder = write_forecaster(root, **settings)
        self.trainer: ForecastTrainer = read_trainer(folder)
        self.task: ForecastingTask = load_task(folder, TextLimits(input_tokens=50))[1]

    def run(self, operation: Operation, state: bytes | None = None) -> Outcome:
        task = self.task
        return run_operation(
            task, operation, task.initial_state if state is None else task.state_codec.from_bytes(state)
        )

    def feed(self, rows: list[Row], state: bytes | None = None, *, skip: int = 0, **options: Any) -> Outcome:
        """Feed rows from `skip` steps after the start on, with regular times and covariates."""
        return self.run(Predict(self.series_input(rows, skip), PredictOptions(**options)), state)

    def series_input(self, rows: list[Row], skip: int = 0) -> SeriesInput:
        times = times_of(self.trainer, skip + len(rows))
        future = future_of(self.trainer, self.trainer.config["horizon"])
        return SeriesInput(
            tuple(map(tuple, rows)),
            timestamps=None if times is None else tuple(times[skip:]),
            future=None if future is None else tuple(map(tuple, future)),
        )


def refusal(model: Model, content: SeriesInput | TextInput | None, state: bytes | None = None, **options: Any) -> str:
    """Return field and message of the error for a request."""
    with pytest.raises(InvalidRequest) as caught:
        model.run(Predict(content, PredictOptions(**options, given=frozenset(options))), state)
    assert caught.value.param is not None
    return f"{caught.value.param} | {caught.value.message}"


def rows_of(*values: float | None) -> tuple[Row, ...]:
    return tuple((value,) for value in values)


def peak_bytes(run: Callable[[], object]) -> int:
    """Return the largest number of bytes that `run` allocates at a time."""
    tracemalloc.start()
    try:
        run()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def assert_same_forecast(actual: Any, expected: Any) -> None:
    np.testing.assert_allclose(actual["mean"], expected["mean"], atol=CLOSE, rtol=0)
    assert actual["quantiles"].keys() == expected["quantiles"].keys()
    for level, values in actual["quantiles"].items():
        np.testing.assert_allclose(values, expected["quantiles"][level], atol=CLOSE, rtol=0)
