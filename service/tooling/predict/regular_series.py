"""A series of a file at regular intervals, as a session receives it, with the line number of each row."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from service.domain.errors import InvalidRequest
from service.domain.operations import SeriesInput
from service.domain.rfc3339 import format_rfc3339
from service.nets.forecast_inputs.preprocessor import Preprocessor
from service.nets.forecast_inputs.scaling import Numbers
from service.tasks.forecasting.session_state import StreamState
from service.tasks.forecasting.timestamps import RegularizedRows, regularize_rows
from service.tasks.limits import MAX_ROWS
from service.tooling.predict.series_file import TIME, read_table

#: The field that an error about one row of an input names.
ROW = re.compile(r"input\.(?:values|timestamps)\[(\d+)\]")


@dataclass(frozen=True, slots=True)
class RegularSeries:
    """Rows, their times in microseconds since 1970, and their line numbers; inserted rows have None."""

    data: Path
    rows: tuple[tuple[float | None, ...], ...]
    times: tuple[int, ...] | None
    lines: tuple[int | None, ...]

    def location(self, row: int) -> str:
        """Return the file and line of a row, for messages."""
        if self.lines[row] is None and self.times is not None:
            return f"{self.data}, without a row at {format_rfc3339(self.times[row])}"
        return f"{self.data}, line {self.lines[row]}"

    def slice(self, begin: int, end: int) -> SeriesInput:
        """Return rows begin..end-1 as the input of a request."""
        return SeriesInput(self.rows[begin:end], timestamps=self.times and self.times[begin:end])

    def numbers(self, begin: int, end: int, columns: list[int]) -> Numbers:
        """Return columns of rows begin..end-1, NaN where missing: (rows, columns)."""
        return np.array(self.rows[begin:end], dtype=np.float64)[:, columns]

    def locate_error(self, error: InvalidRequest, begin: int = 0) -> InvalidRequest:
        """Return an error about a request of the rows from `begin` on, with file and line in its message."""
        row = ROW.match(error.param or "")
        return InvalidRequest(f"{self.location(begin + int(row[1])) if row else self.data}: {error}")


def read_regular_series(data: Path, preprocessor: Preprocessor, start: StreamState) -> RegularSeries:
    """Read a file and insert missing rows. Raises InvalidRequest naming file and line."""
    config = preprocessor.config
    table = read_table(data, config.features)
    if config.calendar and table.times is None:
        raise InvalidRequest(
            f"{data} has no column {TIME!r}: expected one, since the model reads the calendar "
            f"({', '.join(config.calendar)})"
        )
    series = RegularSeries(data, table.rows, table.times, table.lines)
    times = None if table.times is None else np.array(table.times, dtype=np.int64)
    try:
        regular = regularize_rows(np.array(table.rows, dtype=np.float64), times, start, preprocessor, MAX_ROWS)
    except InvalidRequest as error:
        raise series.locate_error(error) from error
    return _insert_missing_rows(series, regular)


def _insert_missing_rows(series: RegularSeries, regular: RegularizedRows) -> RegularSeries:
    """Return the rows at regular intervals, with empty rows for missing ones."""
    rows: list[tuple[float | None, ...]] = [(None,) * regular.values.shape[1]] * len(regular.values)
    lines: list[int | None] = [None] * len(regular.values)
    for index, row, line in zip(regular.indices, series.rows, series.lines, strict=True):
        rows[index], lines[index] = row, line
    times = None if regular.times is None else tuple(regular.times.tolist())
    return RegularSeries(series.data, tuple(rows), times, tuple(lines))
