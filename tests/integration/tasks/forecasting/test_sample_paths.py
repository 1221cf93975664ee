"""Sample paths of direct and autoregressive forecasters."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from service.domain.operations import Predict, PredictOptions
from service.engine.runner import run_timestep
from tests.forecast_folders import series
from tests.integration.tasks.forecasting.forecast_model import CLOSE, PATHS, Model, peak_bytes


def test_the_memory_of_a_path_step_does_not_grow_with_the_horizon(tmp_path: Path) -> None:
    model = Model(tmp_path, decoding="autoregressive", horizon=300)
    request = Predict(model.series_input(series(model.trainer, 2)), PredictOptions(samples=600))
    operation = model.task.start(request, model.task.initial_state)
    peaks = []
    for _ in range(250):
        peaks.append(peak_bytes(operation.next_pass))
        assert run_timestep(model.task, [operation]) == [None]
    assert peaks[-1] < 2 * peaks[5]


@pytest.mark.parametrize("options", [{}, {"seed": 0}], ids=str)
def test_a_forecast_without_a_seed_is_repeated_with_that_or_seed_0(tmp_path: Path, options: dict[str, Any]) -> None:
    model = Model(tmp_path, **PATHS)
    rows = series(model.trainer, 5)
    assert model.feed(rows, samples=3, **options).output == model.feed(rows, samples=3).output


def test_another_seed_draws_other_samples(tmp_path: Path) -> None:
    model = Model(tmp_path, **PATHS)
    rows = series(model.trainer, 5)
    samples, others = (model.feed(rows, samples=3, seed=seed).output["samples"] for seed in (0, 5))
    assert others != samples


def test_samples_are_paths_by_steps_by_targets(tmp_path: Path) -> None:
    model = Model(tmp_path, **PATHS)
    output = model.feed(series(model.trainer, 5), samples=3).output
    assert np.array(output["samples"]).shape == (3, 6, 1)


def test_paths_follow_the_network_step_by_step(tmp_path: Path) -> None:
    """The single path of a point forecaster is that of feeding its own forecasts as rows."""
    model = Model(tmp_path, decoding="autoregressive", distribution="point", horizon=5, output_residual=True)
    rows = series(model.trainer, 6, missing=0.0)
    forecast = model.feed(rows).output["mean"]
    for step in range(5):
        parameters, _ = model.trainer(rows, None, None)
        value = float(parameters[0, 0, 0]) * 20.0 + 100.0
        assert forecast[step][0] == pytest.approx(value, abs=CLOSE)
        rows = [*rows, [value]]


def test_paths_are_drawn_from_the_distribution(tmp_path: Path) -> None:
    """The first step of the paths is drawn from a known distribution."""
    model = Model(tmp_path, decoding="autoregressive", distribution="student_t", horizon=1)
    rows = series(model.trainer, 6)
    parameters = model.trainer(rows, None, None)[0][0, 0].double().numpy()
    drawn = (np.array(model.feed(rows, samples=1000, seed=3).output["samples"])[:, 0, 0] - 100.0) / 20.0
    reference = stats.t(parameters[2], parameters[0], parameters[1])
    assert stats.kstest(drawn, reference.cdf).pvalue > 0.01


def test_direct_samples_have_the_marginals_and_the_stated_correlation(tmp_path: Path) -> None:
    model = Model(tmp_path, path_correlation=0.8)
    rows = series(model.trainer, 6)
    output = model.feed(rows, samples=1000, quantiles=(0.25, 0.75)).output
    drawn = np.array(output["samples"])[..., 0]
    for level in (0.25, 0.75):
        below = (drawn < np.array(output["quantiles"][f"{level}"])[:, 0]).mean(0)
        np.testing.assert_allclose(below, level, atol=0.05)
    assert np.corrcoef(drawn[:, 0], drawn[:, 1])[0, 1] == pytest.approx(0.8, abs=0.05)
    assert np.corrcoef(drawn[:, 0], drawn[:, 2])[0, 1] == pytest.approx(0.64, abs=0.08)
