"""The taxi recipe splits its series in time, and changes copies of it without changing the series."""

from pathlib import Path

import numpy as np
import pytest

from models.recipes.taxi_forecast_data import DAY, changed_copies, read_taxi, split


def test_the_parts_follow_each_other_and_the_test_part_is_the_last_fifth() -> None:
    parts = split(10_320)
    assert (parts.valid, parts.test, parts.end) == (6912, 8256, 10_320)


def test_windows_of_anomalies_become_rows(tmp_path: Path) -> None:
    folder = tmp_path / "nab"
    folder.mkdir()
    (folder / "nyc_taxi.csv").write_text(
        "timestamp,value\n2014-07-01 00:00:00,10844\n2014-07-01 00:30:00,8127\n2014-07-01 01:00:00,6210\n"
    )
    (folder / "combined_windows.json").write_text(
        '{"realKnownCause/nyc_taxi.csv": [["2014-07-01 00:30:00.000000", "2014-07-01 02:00:00.000000"]]}'
    )
    taxi = read_taxi(tmp_path)
    assert taxi.values.tolist() == [[10844], [8127], [6210]]
    assert (taxi.stamps[2] - taxi.stamps[0]) / np.timedelta64(1, "h") == 1
    assert taxi.windows == [(1, 4)]


def test_copies_keep_the_series_itself_first_and_differ_from_it_in_events_only() -> None:
    values = np.linspace(5, 9, 60 * DAY)[:, None]
    copies = changed_copies(values, 3, 0.1, 0.3, seed=1)
    assert np.array_equal(copies[0], values)
    assert copies.min() > 0
    for copy in copies[1:]:
        assert 0.02 < float((copy != values).mean()) < 0.6


@pytest.mark.parametrize(("one", "other", "same"), [(1, 1, True), (1, 2, False)])
def test_the_events_of_a_copy_depend_on_the_seed_alone(one: int, other: int, same: bool) -> None:
    values = np.ones((60 * DAY, 1))
    assert np.array_equal(changed_copies(values, 2, 0.1, 0.3, one), changed_copies(values, 2, 0.1, 0.3, other)) == same
