"""CSV files of observations: what they become, and how each mistake is told."""

from pathlib import Path

import pytest

from service.domain.errors import InvalidRequest
from service.domain.operations import SeriesInput
from service.tooling.predict.forecast_table import forecast_table
from service.tooling.predict.series_file import read_future, read_series

NOON = 1_714_564_800_000_000  # 2024-05-01T12:00:00Z
HALF_HOUR = 1_800_000_000


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "series.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_a_column_of_numbers_with_times_is_a_series(tmp_path: Path) -> None:
    path = written(tmp_path, "timestamp,value\n2024-05-01 12:00:00,10844\n2024-05-01T14:30:00+02:00, 8127.5 \n")
    assert read_series(path, ["value"]) == SeriesInput(((10844.0,), (8127.5,)), True, (NOON, NOON + HALF_HOUR))


def test_columns_stand_in_any_order_and_empty_cells_are_missing(tmp_path: Path) -> None:
    path = written(tmp_path, b"\xef\xbb\xbfwind,load\r\n1,2\r\n,3\r\n4,\r\n\r\n")
    assert read_series(path, ["load", "wind"]).values == ((2.0, 1.0), (3.0, None), (None, 4.0))


def test_a_quoted_empty_cell_is_a_row_and_a_blank_line_is_none(tmp_path: Path) -> None:
    path = written(tmp_path, 'value\n1\n""\n\n2\n')
    assert read_series(path, ["value"]).values == ((1.0,), (None,), (2.0,))


def test_a_feature_may_be_called_timestamp(tmp_path: Path) -> None:
    path = written(tmp_path, "timestamp\n7\n")
    assert read_series(path, ["timestamp"]) == SeriesInput(((7.0,),), True)


@pytest.mark.parametrize(
    ("text", "mentions"),
    [
        ("", ["has no header", "expected one that names load, wind"]),
        ("load,wind\n", ["has no row below its header"]),
        ("load\n1\n", ["has 0 columns 'wind'", "load, wind and perhaps timestamp"]),
        ("load,wind,load\n1,2,3\n", ["has 2 columns 'load'"]),
        ("load,wind,gust\n1,2,3\n", ["has a column 'gust'", "expected only load, wind and perhaps timestamp"]),
        ("load,wind,timestamp,timestamp\n1,2,3,4\n", ["has a column 'timestamp'"]),
        ("load,wind\n1,2\n1\n", ["line 3 has 1 cells: expected 2"]),
        ("load,wind\n1,x\n", ["line 2: wind is 'x': expected a number"]),
        ("load,wind\n1,NaN\n", ["line 2: wind is 'NaN': expected a number, or nothing"]),
        ("load,wind\n1,inf\n", ["wind is 'inf'"]),
        ("load,wind\n1,1e400\n", ["wind is '1e400'"]),
        ("load,wind\n1,2e30\n", ["wind is '2e30'"]),
        ("load,wind\n1,1_000\n", ["wind is '1_000'"]),
        ("load,wind,timestamp\n1,2,yesterday\n", ["line 2: timestamp is 'yesterday': expected a time as in RFC 3339"]),
        ("load,wind,timestamp\n1,2,\n", ["line 2: timestamp is ''"]),
        (
            "load,wind,timestamp\n1,2,2024-05-01 12:00:00\n1,2,2024-05-01 12:00:00\n",
            ["line 3: timestamp is", "expected a time after 2024-05-01T12:00:00Z"],
        ),
        (b"load,wind\n\xff,1\n", ["no UTF-8"]),
        ('load,wind\n"1,2\n', ["expected a CSV file"]),
    ],
)
def test_a_wrong_file_is_told_by_line_column_and_value(tmp_path: Path, text: str | bytes, mentions: list[str]) -> None:
    path = written(tmp_path, text)
    with pytest.raises(InvalidRequest) as caught:
        read_series(path, ["load", "wind"])
    for mention in (str(path), "expected", *mentions):
        assert mention in caught.value.message


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="No such file or directory; expected a CSV file"):
        read_series(tmp_path / "nothing.csv", ["value"])


def test_what_is_known_in_advance_has_no_gaps_and_begins_after_the_observations(tmp_path: Path) -> None:
    path = written(tmp_path, "timestamp,open\n2024-05-01T12:30:00Z,1\n2024-05-01T13:00:00Z,0\n")
    assert read_future(path, ["open"], NOON) == ((1.0,), (0.0,))
    assert read_future(path, ["open"], None) == ((1.0,), (0.0,))
    with pytest.raises(InvalidRequest, match="begins at 2024-05-01T12:30:00Z: expected a time after 2024-05-01T13"):
        read_future(path, ["open"], NOON + 2 * HALF_HOUR)
    with pytest.raises(InvalidRequest, match="row 2 has an empty cell"):
        read_future(written(tmp_path, "a,b\n1,2\n,2\n"), ["a", "b"], None)


def test_a_table_has_a_line_for_each_step() -> None:
    flat = {"horizon": 2, "features": ["value"], "mean": [10.5, 11], "quantiles": {"0.1": [9, 8.123456789]}}
    assert forecast_table(flat, [NOON, NOON + HALF_HOUR]).splitlines() == [
        "                time  mean      0.1",
        "2024-05-01T12:00:00Z  10.5        9",
        "2024-05-01T12:30:00Z    11  8.12346",
    ]
    rows = {"horizon": 1, "features": ["load", "wind"], "mean": [[1, 2]], "quantiles": {"0.5": [[3, None]]}}
    assert forecast_table(rows, None).splitlines() == [
        "step  load mean  load 0.5  wind mean  wind 0.5",
        "   1          1         3          2         -",
    ]
