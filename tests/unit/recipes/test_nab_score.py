"""The score of the Numenta Anomaly Benchmark, the detectors it compares, and the stream that is scored."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import anomaly
from models.recipes.anomaly_detectors import anomaly_likelihood, windowed_gaussian
from models.recipes.nab_score import LabelledScores, nab_score, probation_rows

ROWS = 400


def reported(rows: list[int], windows: list[tuple[int, int]]) -> LabelledScores:
    """Return a series whose detector reports exactly the given rows."""
    scores = np.zeros(ROWS)
    scores[rows] = 1.0
    return LabelledScores(scores, windows)


def test_each_window_reported_at_its_first_row_scores_100() -> None:
    score, threshold = nab_score([reported([100, 300], [(100, 140), (300, 350)])])
    assert (score, threshold) == (pytest.approx(100), 1.0)


def test_a_detector_that_reports_nothing_scores_0() -> None:
    assert nab_score([LabelledScores(np.zeros(ROWS), [(300, 320)])])[0] == 0


def test_a_detection_is_worth_less_the_later_it_is() -> None:
    scores = [nab_score([reported([row], [(100, 200)])])[0] for row in (100, 150, 180, 199)]
    assert scores == sorted(scores, reverse=True)
    assert scores[1] == pytest.approx(50 * (1 + 0.8517 / 0.98661), abs=0.1)  # row 150: 51 of 101 rows before the end


def test_only_the_first_detection_in_a_window_counts() -> None:
    once = nab_score([reported([120], [(100, 200)])])
    assert nab_score([reported([120, 121, 190], [(100, 200)])]) == once


def test_a_report_outside_of_the_windows_costs_its_share_of_a_missed_one() -> None:
    score, _ = nab_score([reported([70, 100], [(100, 140)])])
    assert score == pytest.approx(100 * (1 - 0.11 + 1) / 2)


def test_a_report_shortly_after_a_window_costs_less() -> None:
    near, far = (nab_score([reported([100, row], [(100, 140)])])[0] for row in (142, 200))
    assert far < near < 100


def test_nothing_is_scored_in_the_learning_part() -> None:
    assert probation_rows(ROWS) == 60
    assert probation_rows(22_695) == 750
    assert nab_score([reported([*range(60), 100], [(100, 140)])])[0] == pytest.approx(100)


def test_the_threshold_is_the_best_one_over_all_series() -> None:
    generator = np.random.default_rng(4)
    series = [LabelledScores(generator.random(ROWS).round(2), [(90, 120), (250, 290)]) for _ in range(3)]
    score, threshold = nab_score(series)
    tried = {}
    for level in np.unique(np.concatenate([item.scores for item in series])):
        binary = [LabelledScores((item.scores >= level).astype(float), item.windows) for item in series]
        tried[float(level)] = nab_score(binary)[0]
    assert score == pytest.approx(max(tried.values()))
    assert tried[threshold] == pytest.approx(score)


def test_series_without_windows_are_refused() -> None:
    with pytest.raises(ValueError, match="expected at least one"):
        nab_score([LabelledScores(np.zeros(ROWS), [])])


def test_the_baseline_measures_a_value_by_the_values_before_it() -> None:
    values = np.random.default_rng(2).normal(10, 2, 7000)
    values[6950] = 30.0
    scores = windowed_gaussian(values)
    assert scores[0] == 0
    assert (scores[1:] >= 0.5).all()
    assert int(np.argmax(scores[10:])) + 10 == 6950
    assert scores[6449] == windowed_gaussian(values[:6450])[-1]


def test_the_likelihood_rises_with_several_high_scores_and_is_0_while_it_learns() -> None:
    scores = np.random.default_rng(6).random(1000) * 0.5
    scores[700:706] = 1.0
    likelihood = anomaly_likelihood(scores, 200)
    assert (likelihood[:200] == 0).all()
    assert 700 <= int(np.argmax(likelihood)) < 715
    assert likelihood.max() <= 1


def test_the_scores_that_are_judged_are_those_of_a_session(tmp_path: Path) -> None:
    table = tmp_path / "nyc_taxi.csv"
    times = np.datetime64("2014-07-01T00:00:00") + np.timedelta64(30, "m") * np.arange(600)
    values = 100 + 10 * np.sin(np.arange(600) / 7)
    values[500] = 400.0
    lines = [f"{str(time).replace('T', ' ')},{value}" for time, value in zip(times, values, strict=True)]
    table.write_text("\n".join(["timestamp,value", *lines]) + "\n")
    edges = [f"{str(times[row]).replace('T', ' ')}.000000" for row in (490, 510)]
    (tmp_path / "combined_windows.json").write_text('{"realKnownCause/nyc_taxi.csv": [["' + '", "'.join(edges) + '"]]}')
    series = anomaly.read_series(tmp_path, "nyc_taxi")
    assert series.windows == [(490, 510)]
    anomaly.train_folder(anomaly.TAXI, series, replace(anomaly.SCHEDULE, updates=50), tmp_path / "model")
    scores = anomaly.stream(tmp_path / "model", series)
    assert len(scores) == 600
    assert scores[0] == 0  # nothing was predicted for it
    assert scores[500] > 0.99
