"""Forecasts of small networks, compared with the trainer's own code, in steps of any size."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from service.domain.operations import ForecastCheck, Predict, PredictOptions, SeriesInput
from service.engine.runner import run_to_completion
from tests.forecast_folders import future_of, series, times_of
from tests.integration.tasks.forecasting.forecast_model import (
    BOTH,
    CLOSE,
    FULL,
    Model,
    assert_same_forecast,
    every_kind,
    peak_bytes,
    rows_of,
)
from tests.rounding import FORECAST, PROBABILITY


@pytest.mark.parametrize(
    "settings",
    [
        {},
        FULL,
        {"distribution": "quantiles", "quantiles": [0.1, 0.5, 0.9]},
        {"distribution": "point"},
        {"distribution": "quantiles", "quantiles": [0.1, 0.5, 0.9], "window": 3},
        {**FULL, "window": 5, "cell": "gru", "num_layers": 2},
        {"window": 20},
        {**BOTH, "num_layers": 2, "cell": "gru"},
        {**FULL, **BOTH, "readout": "last_output", "window": 20, "head": [{"size": 5, "activation": "relu"}]},
    ],
    ids=["gaussian", "student_t", "quantiles", "point", "window", "full window", "long window", "ends", "last output"],
)
def test_a_forecast_is_that_of_the_trainer(tmp_path: Path, settings: dict[str, Any]) -> None:
    model = Model(tmp_path, **settings)
    rows = series(model.trainer, 11)
    trainer, output = model.trainer, model.feed(rows).output
    parameters, _ = trainer(rows, times_of(trainer, 11), future_of(trainer))
    scale, mean = (np.array([trainer.pre[name][index] for index in trainer.target]) for name in ("scale", "mean"))
    expected = parameters.double().numpy()
    kind = trainer.config["distribution"]
    if kind == "point":
        assert output["quantiles"] == {}
        np.testing.assert_allclose(output["mean"], expected[..., 0] * scale + mean, atol=CLOSE, rtol=0)
        return
    quantile = {
        "gaussian": lambda level: stats.norm.ppf(level, expected[..., 0], expected[..., 1]),
        "student_t": lambda level: stats.t.ppf(level, expected[..., 2], expected[..., 0], expected[..., 1]),
        "quantiles": lambda level: expected[..., [0.1, 0.5, 0.9].index(level)],
    }[kind]
    for level in (0.1, 0.5, 0.9):
        np.testing.assert_allclose(output["quantiles"][f"{level}"], quantile(level) * scale + mean, atol=CLOSE, rtol=0)
    assert output["features"] == trainer.config["target"]
    assert output["horizon"] == 4


def test_values_far_from_zero_keep_the_precision_of_the_network(tmp_path: Path) -> None:
    model = Model(tmp_path, preprocessor={"mean": [101_325.0], "scale": [8.0]})
    rows = series(model.trainer, 7)
    forecast = np.array(model.feed(rows).output["mean"])[..., 0]
    expected = model.trainer(rows, None, None)[0][:, 0, 0].double().numpy()
    np.testing.assert_allclose((forecast - 101_325.0) / 8.0, expected, atol=FORECAST, rtol=0)


def test_the_memory_of_a_start_does_not_grow_by_a_season_for_each_row(tmp_path: Path) -> None:
    model = Model(tmp_path, season=20_000)
    operation = Predict(model.series_input(series(model.trainer, 50)))
    limit = 10 * model.task.state_codec.state_bytes
    assert peak_bytes(lambda: model.task.start(operation, model.task.initial_state)) < limit


@pytest.mark.parametrize("settings", [{}, {"decoding": "autoregressive"}], ids=["direct", "paths"])
def test_all_quantile_levels_are_answered_however_close(tmp_path: Path, settings: dict[str, Any]) -> None:
    levels = (0.1, 0.10000000000001, 1e-12, 1 - 1e-12)
    output = Model(tmp_path, **settings).run(
        Predict(SeriesInput(rows_of(1.0)), PredictOptions(horizon=1, quantiles=levels))
    )
    assert [float(level) for level in output.output["quantiles"]] == [*levels]


@every_kind
@pytest.mark.parametrize("counts", [[1] * 12, [5, 7], [1, 10, 1], [2, 1, 45]], ids=str)
def test_steps_of_any_size_have_the_answers_of_a_single_step(
    tmp_path: Path, settings: dict[str, Any], counts: list[int]
) -> None:
    model = Model(tmp_path, **settings)
    rows = series(model.trainer, sum(counts))
    at_once, state, fed, scores, errors = model.feed(rows), None, 0, [], 0.0
    for count in counts:
        outcome = model.feed(rows[fed : fed + count], state, skip=fed)
        state, fed = outcome.state, fed + count
        observed = outcome.output["observed"]
        scores += observed["anomaly_scores"] if observed else [None] * count
        errors += outcome.observation.absolute_error if outcome.observation else 0.0
    assert_same_forecast(outcome.output, at_once.output)
    expected = np.array(at_once.output["observed"]["anomaly_scores"], float)
    np.testing.assert_allclose(np.array(scores, float), expected, atol=PROBABILITY, rtol=0)
    assert isinstance(at_once.observation, ForecastCheck)
    assert errors == pytest.approx(at_once.observation.absolute_error, abs=CLOSE * at_once.observation.values)


@every_kind
def test_a_batch_has_the_answers_of_each_operation_alone(tmp_path: Path, settings: dict[str, Any]) -> None:
    model = Model(tmp_path, **settings)
    inputs = [series(model.trainer, count, seed=count) for count in (1, 4, 40, 9, 33)]
    alone = [model.feed(rows).output for rows in inputs]
    operations = [model.task.start(Predict(model.series_input(rows)), model.task.initial_state) for rows in inputs]
    for outcome, output in zip(run_to_completion(model.task, operations), alone, strict=True):
        assert_same_forecast(outcome.output, output)


def test_a_forecast_without_rows_repeats_that_of_the_step_and_changes_no_state(tmp_path: Path) -> None:
    model = Model(tmp_path)
    fed = model.feed(series(model.trainer, 6))
    repeated = model.run(Predict(None), fed.state)
    assert repeated.output | {"mean": 0, "quantiles": 0} == fed.output | {"mean": 0, "quantiles": 0, "observed": None}
    flat = [row[0] for row in fed.output["mean"]]
    np.testing.assert_allclose(repeated.output["mean"], flat, atol=CLOSE, rtol=0)
    assert repeated.timesteps == 0
    assert repeated.state == fed.state


def test_other_known_covariates_give_another_forecast_and_change_no_state(tmp_path: Path) -> None:
    model = Model(tmp_path, **FULL)
    fed = model.feed(series(model.trainer, 6))
    other_future = SeriesInput(None, future=((500.0,), (400.0,), (300.0,), (200.0,)))
    other = model.run(Predict(other_future), fed.state)
    assert other.output["mean"] != fed.output["mean"]
    assert other.state == fed.state


def test_the_output_has_the_shape_of_the_input(tmp_path: Path) -> None:
    model = Model(tmp_path)
    rows = rows_of(101.0, 95.0, 90.0)
    nested = model.run(Predict(SeriesInput(rows))).output["mean"]
    flat = model.run(Predict(SeriesInput(rows, flat=True))).output["mean"]
    assert [[value] for value in flat] == nested


def test_a_shorter_horizon_is_the_beginning_of_the_longer_one(tmp_path: Path) -> None:
    model = Model(tmp_path, calendar=["hour_of_day"], context={"size": 3}, local={"size": 5, "activation": "relu"})
    rows = series(model.trainer, 5)
    whole, short = model.feed(rows).output, model.feed(rows, horizon=2).output
    np.testing.assert_allclose(short["mean"], whole["mean"][:2], atol=CLOSE, rtol=0)
    assert short["horizon"] == 2


@pytest.mark.parametrize("values", [[100.0] * 8, [None] * 8, [7.0, *[None] * 7]], ids=["constant", "missing", "one"])
def test_a_series_that_is_constant_or_missing_has_a_forecast(tmp_path: Path, values: list[float | None]) -> None:
    model = Model(tmp_path, missing_indicator=True)
    outcome = model.run(Predict(SeriesInput(rows_of(*values))))
    assert all(math.isfinite(row[0]) for row in outcome.output["mean"])
    assert outcome.timesteps == 8
    observed = outcome.output["observed"]
    assert (observed is None) is (values[1] is None)
