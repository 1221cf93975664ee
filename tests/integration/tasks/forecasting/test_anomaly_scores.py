"""Errors and anomaly scores of rows, compared with their forecasts."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from service.domain.operations import Predict, SeriesInput
from tests.forecast_folders import series
from tests.integration.tasks.forecasting.forecast_model import CLOSE, Model, rows_of


def observe(model: Model, value: float, state: bytes) -> Any:
    """Return the statistics of one more row."""
    return model.run(Predict(SeriesInput(rows_of(value))), state).output["observed"]


def test_the_first_row_is_not_compared_with_a_forecast(tmp_path: Path) -> None:
    first = Model(tmp_path).run(Predict(SeriesInput(rows_of(100.0))))
    assert first.output["observed"] is None
    assert first.observation is None


def test_the_error_of_a_row_is_its_difference_from_the_forecast_before(tmp_path: Path) -> None:
    model = Model(tmp_path)
    first = model.run(Predict(SeriesInput(rows_of(100.0))))
    error = 140.0 - first.output["mean"][0][0]
    assert observe(model, 140.0, first.state)["mean_absolute_error"] == pytest.approx(error, abs=CLOSE)


@pytest.mark.parametrize("level", ["0.1", "0.9"])
def test_the_anomaly_score_of_a_quantile_is_the_probability_of_nearer_values(tmp_path: Path, level: str) -> None:
    model = Model(tmp_path)
    first = model.run(Predict(SeriesInput(rows_of(100.0))))
    value = first.output["quantiles"][level][0][0]
    assert observe(model, value, first.state)["anomaly_scores"] == pytest.approx([0.8], abs=1e-4)


def test_the_anomaly_score_grows_with_the_error(tmp_path: Path) -> None:
    model = Model(tmp_path)
    state = model.feed(series(model.trainer, 6, missing=0.0)).state
    scores = [observe(model, value, state)["anomaly_scores"][0] for value in (100.0, 110.0, 120.0, 130.0, 1e6)]
    unsaturated = [score for score in scores if score < 1]
    assert len(unsaturated) == 4, scores
    assert all(0 <= lower < higher for lower, higher in pairwise(unsaturated)), scores
    assert scores == sorted(scores)
    assert scores[-1] == 1.0
