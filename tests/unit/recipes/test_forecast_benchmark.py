"""The benchmark on ETTh1 judges Informer's windows, and trains on copies of the series that only stand elsewhere."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks import forecast
from models.recipes import forecast_scores as scores


@pytest.mark.parametrize(("horizon", "windows"), [(24, 2857), (48, 2833)])
def test_every_window_of_the_four_test_months_is_judged(horizon: int, windows: int) -> None:
    rows = scores.test_origins(forecast.SPLIT, horizon)
    assert (len(rows), int(rows[0]), int(rows[-1])) == (windows, 11_519, 14_399 - horizon)


def test_a_copy_is_the_series_at_another_level_and_amplitude() -> None:
    series = np.random.default_rng(3).normal(size=(50, 2))
    copies = forecast.shifted_copies(series, 3, seed=1)
    assert np.array_equal(copies[0], series)
    for copy in copies[1:]:
        for feature in range(2):
            slope, _ = np.polyfit(series[:, feature], copy[:, feature], 1)
            assert slope > 0
            assert np.corrcoef(series[:, feature], copy[:, feature])[0, 1] == pytest.approx(1)
            assert not np.allclose(series[:, feature], copy[:, feature])


def test_the_file_is_read_by_column(tmp_path: Path) -> None:
    (tmp_path / "ett.csv").write_text("date,HUFL,OT\n2016-07-01 00:00:00,5.5,30.5\n2016-07-01 01:00:00,5.25,27\n")
    names, values, stamps = forecast.read_series(tmp_path / "ett.csv")
    assert (names, values.tolist()) == (("HUFL", "OT"), [[5.5, 30.5], [5.25, 27.0]])
    assert stamps[1] - stamps[0] == np.timedelta64(1, "h")
