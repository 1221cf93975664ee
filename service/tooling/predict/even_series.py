"""A series of a file in even steps, as a session comes to see it; each row still knows which line it is."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from service.domain.errors import InvalidRequest
from service.domain.operations import SeriesInput
from service.domain.rfc3339 import format_rfc3339
from service.nets.forecast_inputs.preprocessor import Numbers, Preprocessor
from service.tasks.forecasting.session_state import StreamState
from service.tasks.forecasting.timestamps import RegularizedRows, regular_rows
from service.tasks.limits import MAX_ROWS
from service.tooling.predict.series_file import TIME, read_table

#: The field that an error about one row of an input names.
ROW = re.compile(r"input\.(?:values|timestamps)\[(\d+)\]")


@dataclass(frozen=True, slots=True)
class EvenSeries:
    """Rows, their times in microseconds since 1970, and their lines: None of rows put in where the file has none."""

    data: Path
    rows: tuple[tuple[float | None, ...], ...]
    times: tuple[int, ...] | None
    lines: tuple[int | None, ...]

    def place(self, row: int) -> str:
        """Return where a row stands, for people."""
        if self.lines[row] is None and self.times is not None:
            return f"{self.data}, without a row at {format_rfc3339(self.times[row])}"
        return f"{self.data}, line {self.lines[row]}"

    def piece(self, begin: int, end: int) -> SeriesInput:
        """Return rows begin..end-1 as a request brings them."""
        return SeriesInput(self.rows[begin:end], timestamps=self.times and self.times[begin:end])

    def numbers(self, begin: int, end: int, columns: list[int]) -> Numbers:
        """Return columns of rows begin..end-1, NaN where missing: (rows, columns)."""
        return np.array(self.rows[begin:end], dtype=np.float64)[:, columns]

    def placed(self, error: InvalidRequest, begin: int = 0) -> InvalidRequest:
        """Return an error about a request of the rows from `begin` on with the place in the file."""
        row = ROW.match(error.param or "")
        return InvalidRequest(f"{self.place(begin + int(row[1])) if row else self.data}: {error}")


def read_even_series(data: Path, preprocessor: Preprocessor, start: StreamState) -> EvenSeries:
    """Read a file and put in the rows that it leaves out. Raises InvalidRequest naming file and line."""
    config = preprocessor.config
    table = read_table(data, config.features)
    if config.calendar and table.times is None:
        raise InvalidRequest(
            f"{data} has no column {TIME!r}: expected one, since the model reads the calendar "
            f"({', '.join(config.calendar)})"
        )
    series = EvenSeries(data, table.rows, table.times, table.lines)
    times = None if table.times is None else np.array(table.times, dtype=np.int64)
    try:
        timed = regular_rows(np.array(table.rows, dtype=np.float64), times, start, preprocessor, MAX_ROWS)
    except InvalidRequest as error:
        raise series.placed(error) from error
    return _spread(series, timed)


def _spread(series: EvenSeries, timed: RegularizedRows) -> EvenSeries:
    """Return the rows in their even places, empty ones between them."""
    rows: list[tuple[float | None, ...]] = [(None,) * timed.values.shape[1]] * len(timed.values)
    lines: list[int | None] = [None] * len(timed.values)
    for at, row, line in zip(timed.told, series.rows, series.lines, strict=True):
        rows[at], lines[at] = row, line
    times = None if timed.times is None else tuple(timed.times.tolist())
    return EvenSeries(series.data, tuple(rows), times, tuple(lines))
