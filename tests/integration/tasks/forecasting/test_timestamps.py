"""Timestamps of rows, and the missing rows of regular series."""

from dataclasses import replace
from pathlib import Path

import pytest

from service.domain.operations import Predict, PredictOptions, SeriesInput
from service.domain.rfc3339 import BEGIN, END, format_rfc3339
from tests.forecast_folders import START
from tests.forecast_trainer import Row
from tests.integration.tasks.forecasting.forecast_model import HALF_HOUR, Model, assert_same_forecast, refusal, rows_of


@pytest.mark.parametrize("time", [END - 1, BEGIN - 50_400_000_000], ids=["the last year", "year 1, 14 hours east"])
def test_the_error_for_a_time_at_the_end_of_the_calendar_names_it(tmp_path: Path, time: int) -> None:
    model, content = Model(tmp_path), SeriesInput(rows_of(1.0), timestamps=(time,))
    state = model.run(Predict(SeriesInput(rows_of(1.0))), model.run(Predict(content)).state).state
    assert "input.timestamps[0] is" in refusal(model, content, state)


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


def test_a_forecast_has_the_times_of_the_steps_ahead(tmp_path: Path) -> None:
    model = Model(tmp_path, calendar=["hour_of_day"], missing_indicator=True)
    first = model.run(Predict(SeriesInput(rows_of(110.0), timestamps=(START,)), PredictOptions(horizon=2)))
    assert first.output["timestamps"] == [format_rfc3339(START + HALF_HOUR * step) for step in (1, 2)]
    later = SeriesInput(rows_of(95.0), timestamps=(START + 3 * HALF_HOUR + 40_000_000,))
    second = model.run(Predict(later), first.state)
    expected = [format_rfc3339(START + HALF_HOUR * step) for step in (4, 5, 6, 7)]
    assert second.output["timestamps"] == expected
    assert model.run(Predict(None), second.state).output["timestamps"] == expected


def test_a_forecast_goes_on_in_time_after_rows_that_had_none(tmp_path: Path) -> None:
    model = Model(tmp_path)
    assert "timestamps" not in model.run(Predict(SeriesInput(rows_of(110.0)))).output
    timed = model.run(Predict(SeriesInput(rows_of(110.0), timestamps=(START,))))
    untimed = model.run(Predict(SeriesInput(rows_of(95.0, 96.0)), PredictOptions(horizon=1)), timed.state)
    assert untimed.output["timestamps"] == [format_rfc3339(START + 3 * HALF_HOUR)]


def test_evenly_spaced_rows_tell_the_interval_of_a_model_without_a_frequency(tmp_path: Path) -> None:
    model, minute = Model(tmp_path, frequency=None), 60_000_000

    def times(*minutes: int, state: bytes | None = None) -> object:
        series = SeriesInput(rows_of(*[100.0] * len(minutes)), timestamps=tuple(START + minute * at for at in minutes))
        return model.run(Predict(series, PredictOptions(horizon=2)), state).output.get("timestamps")

    assert times(0, 7, 14) == [format_rfc3339(START + minute * at) for at in (21, 28)]
    assert times(0, 7, 15) is times(0) is None
    state = model.run(Predict(SeriesInput(rows_of(100.0), timestamps=(START,)))).state
    assert times(7, state=state) == [format_rfc3339(START + minute * at) for at in (14, 21)]


def test_a_gap_that_is_too_long_says_how_to_go_on(tmp_path: Path) -> None:
    model = Model(tmp_path, calendar=["hour_of_day"], missing_indicator=True)
    state = model.run(Predict(SeriesInput(rows_of(110.0), timestamps=(START,)))).state
    late = SeriesInput(rows_of(95.0), timestamps=(START + 120 * HALF_HOUR,))
    message = refusal(model, late, state)
    assert "120 steps of 30min after the observation before: expected at most 50 steps in one request" in message
    assert (
        "feed rows of nulls in between to a session, in several steps, or begin a new session with this row" in message
    )
    for steps in (50, 100):
        filler = SeriesInput(((None,),), timestamps=(START + steps * HALF_HOUR,))
        state = model.run(Predict(filler), state).state
    assert model.run(Predict(late), state).timesteps == 1


def test_rows_without_times_are_refused_by_a_model_that_reads_the_calendar(tmp_path: Path) -> None:
    model = Model(tmp_path, calendar=["hour_of_day"])
    assert "input.timestamps is missing: expected one time per row" in refusal(model, SeriesInput(rows_of(1.0)))


def test_a_row_before_the_last_one_is_refused(tmp_path: Path) -> None:
    model = Model(tmp_path, calendar=["hour_of_day"])
    state = model.run(Predict(SeriesInput(rows_of(1.0), timestamps=(START,)))).state
    earlier = SeriesInput(rows_of(1.0), timestamps=(START - HALF_HOUR,))
    assert "expected a time after 2025-06-22T22:30:00Z" in refusal(model, earlier, state)


def test_a_forecast_needs_the_time_of_the_last_row_if_the_model_reads_the_calendar(tmp_path: Path) -> None:
    model = Model(tmp_path, calendar=["hour_of_day"])
    codec = model.task.state_codec
    stream = codec.from_bytes(model.run(Predict(SeriesInput(rows_of(1.0), timestamps=(START,)))).state)
    state = codec.to_bytes(replace(stream, time=None))
    assert "the time of this session's last row is unknown" in refusal(model, None, state)
    later = SeriesInput(rows_of(2.0), timestamps=(START + HALF_HOUR,))
    state = model.run(Predict(later), state).state
    assert model.run(Predict(None), state).timesteps == 0
