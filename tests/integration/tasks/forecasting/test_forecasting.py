"""Forecasting with small networks: compared with the trainer's own code, in steps of any size, paths, invalid input."""

import math
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from service.domain.errors import InputTooLong, InvalidRequest, StateCorrupted
from service.domain.operations import (
    ForecastCheck,
    Generate,
    OpenSession,
    Operation,
    Outcome,
    Predict,
    PredictOptions,
    Score,
    SeriesInput,
    TextInput,
)
from service.domain.rfc3339 import BEGIN, END
from service.engine.runner import run_operation, run_timestep, run_to_completion
from service.tasks.forecasting.task import ForecastingTask
from service.tasks.limits import TextLimits
from service.tasks.registry import load_task
from tests.forecast_folders import START, future_of, read_trainer, series, times_of, write_forecaster
from tests.forecast_trainer import ForecastTrainer, Row
from tests.rounding import FORECAST, PROBABILITY

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
every_kind = pytest.mark.parametrize("settings", [{}, FULL, PATHS], ids=["plain", "full", "paths"])


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


@pytest.mark.parametrize(
    "settings",
    [{}, FULL, {"distribution": "quantiles", "quantiles": [0.1, 0.5, 0.9]}, {"distribution": "point"}],
    ids=["gaussian", "student_t", "quantiles", "point"],
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


def peak_bytes(run: Callable[[], object]) -> int:
    """Return the largest number of bytes that `run` allocates at a time."""
    tracemalloc.start()
    try:
        run()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_the_memory_of_a_start_does_not_grow_by_a_season_for_each_row(tmp_path: Path) -> None:
    model = Model(tmp_path, season=20_000)
    operation = Predict(model.series_input(series(model.trainer, 50)))
    limit = 10 * model.task.state_codec.state_bytes
    assert peak_bytes(lambda: model.task.start(operation, model.task.initial_state)) < limit


def test_the_memory_of_a_path_step_does_not_grow_with_the_horizon(tmp_path: Path) -> None:
    model = Model(tmp_path, decoding="autoregressive", horizon=300)
    request = Predict(model.series_input(series(model.trainer, 2)), PredictOptions(samples=600))
    operation = model.task.start(request, model.task.initial_state)
    peaks = []
    for _ in range(250):
        peaks.append(peak_bytes(operation.next_pass))
        assert run_timestep(model.task, [operation]) == [None]
    assert peaks[-1] < 2 * peaks[5]


@pytest.mark.parametrize("settings", [{}, {"decoding": "autoregressive"}], ids=["direct", "paths"])
def test_all_quantile_levels_are_answered_however_close(tmp_path: Path, settings: dict[str, Any]) -> None:
    levels = (0.1, 0.10000000000001, 1e-12, 1 - 1e-12)
    output = Model(tmp_path, **settings).run(
        Predict(SeriesInput(rows_of(1.0)), PredictOptions(horizon=1, quantiles=levels))
    )
    assert [float(level) for level in output.output["quantiles"]] == [*levels]


@pytest.mark.parametrize("time", [END - 1, BEGIN - 50_400_000_000], ids=["the last year", "year 1, 14 hours east"])
def test_the_error_for_a_time_at_the_end_of_the_calendar_names_it(tmp_path: Path, time: int) -> None:
    model, content = Model(tmp_path), SeriesInput(rows_of(1.0), timestamps=(time,))
    state = model.run(Predict(SeriesInput(rows_of(1.0))), model.run(Predict(content)).state).state
    assert "input.timestamps[0] is" in refusal(model, content, state)


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


def assert_same_forecast(actual: Any, expected: Any) -> None:
    np.testing.assert_allclose(actual["mean"], expected["mean"], atol=CLOSE, rtol=0)
    assert actual["quantiles"].keys() == expected["quantiles"].keys()
    for level, values in actual["quantiles"].items():
        np.testing.assert_allclose(values, expected["quantiles"][level], atol=CLOSE, rtol=0)


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
    scores = [observe(model, value, state)["anomaly_scores"][0] for value in (100.0, 300.0, 1000.0, 1e6)]
    assert scores == sorted(scores)
    assert all(0 <= score <= 1 for score in scores)
    assert scores[-1] == 1.0


@pytest.mark.parametrize("values", [[100.0] * 8, [None] * 8, [7.0, *[None] * 7]], ids=["constant", "missing", "one"])
def test_a_series_that_is_constant_or_missing_has_a_forecast(tmp_path: Path, values: list[float | None]) -> None:
    model = Model(tmp_path, missing_indicator=True)
    outcome = model.run(Predict(SeriesInput(rows_of(*values))))
    assert all(math.isfinite(row[0]) for row in outcome.output["mean"])
    assert outcome.timesteps == 8
    observed = outcome.output["observed"]
    assert (observed is None) is (values[1] is None)


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


def test_rows_left_out_of_a_regular_series_are_missing_rows(tmp_path: Path) -> None:
    model = Model(tmp_path, calendar=["hour_of_day"], missing_indicator=True)
    rows: list[Row] = [[110.0], [None], [None], [95.0]]
    whole = model.feed(rows)
    gap = SeriesInput(rows_of(110.0, 95.0), timestamps=(START, START + 3 * HALF_HOUR))
    skipped = model.run(Predict(gap))
    assert_same_forecast(skipped.output, whole.output)
    assert skipped.timesteps == 2
    assert len(skipped.output["observed"]["anomaly_scores"]) == 2


def test_a_gap_between_requests_is_filled_with_missing_rows(tmp_path: Path) -> None:
    model = Model(tmp_path, calendar=["hour_of_day"], missing_indicator=True)
    whole = model.feed([[110.0], [None], [None], [95.0]])
    first = model.run(Predict(SeriesInput(rows_of(110.0), timestamps=(START,))))
    later = model.run(Predict(SeriesInput(rows_of(95.0), timestamps=(START + 3 * HALF_HOUR,))), first.state)
    assert_same_forecast(later.output, whole.output)
    assert later.timesteps == 1


def test_a_row_some_seconds_off_its_step_is_accepted_after_a_gap(tmp_path: Path) -> None:
    model = Model(tmp_path, calendar=["hour_of_day"], missing_indicator=True)
    first = model.run(Predict(SeriesInput(rows_of(110.0), timestamps=(START,))))
    late = SeriesInput(rows_of(95.0), timestamps=(START + 3 * HALF_HOUR + 40_000_000,))
    assert model.run(Predict(late), first.state).timesteps == 1


def test_rows_at_another_interval_are_placed_on_the_regular_steps(tmp_path: Path) -> None:
    """Three rows every 40 minutes are four steps of 30 minutes, in one request or in several."""
    model, minute = Model(tmp_path, calendar=["hour_of_day"], missing_indicator=True), 60_000_000
    times = [START + 40 * minute * number for number in range(10)]
    at_once = model.run(Predict(SeriesInput(rows_of(*[100.0] * 10), timestamps=tuple(times))))
    state = None
    for time in times:
        outcome = model.run(Predict(SeriesInput(rows_of(100.0), timestamps=(time,))), state)
        state = outcome.state
    assert_same_forecast(outcome.output, at_once.output)
    stream = model.task.state_codec.from_bytes(at_once.state)
    assert (stream.count, stream.time) == (13, START + 12 * 30 * minute)


STATIC: dict[str, Any] = {"features": ["a", "place"], "target": ["a"], "static": ["place"]}


def test_a_static_feature_need_not_be_repeated(tmp_path: Path) -> None:
    model = Model(tmp_path, **STATIC)
    repeated = model.run(Predict(SeriesInput(((100.0, 130.0), (101.0, 130.0)))))
    missing = model.run(Predict(SeriesInput(((100.0, 130.0), (101.0, None)))))
    assert missing.output == repeated.output


def test_a_static_feature_beyond_the_clamp_can_be_repeated(tmp_path: Path) -> None:
    model = Model(tmp_path, **STATIC)
    state = model.run(Predict(SeriesInput(((100.0, 1e6),)))).state
    assert model.run(Predict(SeriesInput(((101.0, 1e6),))), state).timesteps == 1


def test_a_static_feature_that_changes_is_refused(tmp_path: Path) -> None:
    model = Model(tmp_path, **STATIC)
    state = model.run(Predict(SeriesInput(((100.0, 130.0),)))).state
    message = refusal(model, SeriesInput(((99.0, 90.0),)), state)
    assert "input.values[0][1] | input.values[0][1] is 90: expected 130 as before" in message


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "input.values | input.values is missing: expected at least one observation"),
        (SeriesInput(((1.0,), (1.0, 2.0))), "input.values[1] | input.values[1] has 2 numbers: expected 1 (load)"),
        (SeriesInput(((),)), "input.values[0] has 0 numbers"),
        (TextInput(text="warm"), "input.text | input.text is given: expected input.values"),
        (SeriesInput(rows_of(1.0), future=((1.0,),)), "input.future | input.future is given: expected none"),
        (SeriesInput(rows_of(1.0), timestamps=(1, 2)), "input.timestamps has 2 entries: expected 1"),
        (
            SeriesInput(rows_of(1.0, 2.0), timestamps=(START, START)),
            "input.timestamps[1] | input.timestamps[1] is ",
        ),
        (
            SeriesInput(rows_of(1.0, 2.0), timestamps=(START, START + 100_000_000)),
            "on the same step as 2025-06-22T22:30:00Z before it: expected one row every 30min",
        ),
        (
            SeriesInput(rows_of(1.0, 2.0), timestamps=(START, START + 60 * HALF_HOUR)),
            "60 steps of 30min after the observation before: expected at most 50 steps",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_the_error_for_an_invalid_input_names_the_field(tmp_path: Path, content: SeriesInput, message: str) -> None:
    assert message in refusal(Model(tmp_path), content)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"horizon": 5}, "options.horizon | options.horizon is 5: expected at most 4, the model's limit"),
        ({"top_k": 3}, "options.top_k | options.top_k is 3: expected it to be left out, since forecasting has horizon"),
        ({"samples": 400_000}, "options.samples | options.samples is 400000: expected at most 50000 for 4 steps"),
    ],
    ids=str,
)
def test_the_error_for_an_invalid_option_names_it(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    assert message in refusal(Model(tmp_path), SeriesInput(rows_of(1.0)), **options)


@pytest.mark.parametrize("options", [{"quantiles": (0.5,)}, {"samples": 2}], ids=str)
def test_quantiles_and_samples_of_a_point_forecaster_are_refused(tmp_path: Path, options: dict[str, Any]) -> None:
    model = Model(tmp_path, distribution="point")
    assert "expected none, since the model forecasts points" in refusal(model, SeriesInput(rows_of(1.0)), **options)


def test_rows_without_times_are_refused_by_a_model_that_reads_the_calendar(tmp_path: Path) -> None:
    model = Model(tmp_path, calendar=["hour_of_day"])
    assert "input.timestamps is missing: expected one time per row" in refusal(model, SeriesInput(rows_of(1.0)))


def test_a_row_before_the_last_one_is_refused(tmp_path: Path) -> None:
    model = Model(tmp_path, calendar=["hour_of_day"])
    state = model.run(Predict(SeriesInput(rows_of(1.0), timestamps=(START,)))).state
    earlier = SeriesInput(rows_of(1.0), timestamps=(START - HALF_HOUR,))
    assert "expected a time after 2025-06-22T22:30:00Z" in refusal(model, earlier, state)


@pytest.mark.parametrize(
    ("future", "message"),
    [
        (None, "input.future is missing: expected one row of 1 (k) for each of the 4 steps ahead"),
        (((1.0,),) * 3, "input.future has 3 rows: expected one row of 1 (k)"),
        (((1.0, 2.0),) * 4, "input.future[0] has 2 numbers: expected one row of 1 (k)"),
    ],
)
def test_known_covariates_that_do_not_cover_the_horizon_are_refused(tmp_path: Path, future: Any, message: str) -> None:
    model = Model(tmp_path, features=["a", "k"], target=["a"], known=["k"], context={"size": 3}, local={"size": 3})
    assert message in refusal(model, SeriesInput(((1.0, 2.0),), future=future))


@pytest.mark.parametrize("operation_type", [Score, Generate, OpenSession])
def test_a_forecaster_refuses_other_operations(tmp_path: Path, operation_type: Callable[..., Operation]) -> None:
    with pytest.raises(InvalidRequest):
        Model(tmp_path).run(operation_type(SeriesInput(rows_of(1.0))))


def test_more_rows_than_the_limit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputTooLong, match=r"input\.values has 51 rows: expected at most 50"):
        Model(tmp_path).feed([[1.0]] * 51)


def test_a_state_is_restored_from_its_bytes(tmp_path: Path) -> None:
    model = Model(tmp_path, **FULL)
    state = model.feed(series(model.trainer, 6)).state
    assert len(state) == model.task.state_codec.state_bytes
    assert model.task.state_codec.to_bytes(model.task.state_codec.from_bytes(state)) == state


@pytest.mark.parametrize("change", ["short", "empty", "nan first", "nan last"])
def test_a_damaged_state_is_refused(tmp_path: Path, change: str) -> None:
    model = Model(tmp_path, **FULL)
    raw = model.feed(series(model.trainer, 6)).state
    damaged = {
        "short": raw[:-1],
        "empty": b"",
        "nan first": raw[:16] + b"\xff" * 4 + raw[20:],
        "nan last": raw[:-4] + b"\x00\x00\xc0\x7f",
    }[change]
    with pytest.raises(StateCorrupted):
        model.task.state_codec.from_bytes(damaged)
