"""Series in CSV files. The header names the features, a row is a timestep, an empty cell is a missing value."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import NamedTuple, Protocol

from service.domain.errors import InvalidRequest, ModelFolderError
from service.domain.files import read_file
from service.domain.operations import MAX_ABS, SeriesInput
from service.domain.rfc3339 import format_rfc3339, parse_rfc3339

TIME = "timestamp"
MAX_SERIES_BYTES = 2**28


@dataclass(frozen=True, slots=True)
class Table:
    """Rows in the order of the requested columns, their times in microseconds since 1970 or None, and line numbers.

    `texts` are the cells of columns that are no numbers, "" for an optional one that is not there.
    """

    rows: tuple[tuple[float | None, ...], ...]
    times: tuple[int, ...] | None
    lines: tuple[int, ...]
    texts: tuple[tuple[str, ...], ...] = ()


def read_series(path: Path, features: Sequence[str]) -> SeriesInput:
    """Read observations; times without an offset are UTC. Raises InvalidRequest naming file, line and column."""
    table = read_table(path, features)
    return SeriesInput(table.rows, len(features) == 1, table.times)


def read_future(path: Path, known: Sequence[str], after: int | None) -> tuple[tuple[float, ...], ...]:
    """Read known covariates of the steps ahead, without gaps. Times, if there are any, come after the time `after`.

    Raises InvalidRequest naming file and line.
    """
    table = read_table(path, known)
    if table.times and after is not None and table.times[0] <= after:
        raise InvalidRequest(
            f"{path}: {TIME} begins at {format_rfc3339(table.times[0])}: expected a time after "
            f"{format_rfc3339(after)}, where the observations end"
        )
    whole = tuple(tuple(value for value in row if value is not None) for row in table.rows)
    for number, row in enumerate(whole, 1):
        if len(row) != len(known):
            raise InvalidRequest(f"{path}: row {number} has an empty cell: expected numbers, known in advance")
    return whole


def read_table(path: Path, columns: Sequence[str], *, texts: Sequence[str] = (), optional: Sequence[str] = ()) -> Table:
    """Read columns of numbers, of texts and, if present, of `optional` texts and `timestamp`.

    Raises InvalidRequest naming file, line and column.
    """
    try:
        text = read_file(path, MAX_SERIES_BYTES, "a CSV file").decode("utf-8-sig")
        return _read(
            csv.reader(io.StringIO(text, newline=""), strict=True), str(path), _Columns(columns, texts, optional)
        )
    except ModelFolderError as error:
        raise InvalidRequest(str(error)) from None
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"{path}: byte {error.start} is no UTF-8: expected a CSV file in UTF-8") from None
    except csv.Error as error:
        raise InvalidRequest(f"{path}: {error}: expected a CSV file") from None


class _Lines(Protocol):
    """The type of `csv.reader` objects."""

    @property
    def line_num(self) -> int: ...
    def __iter__(self) -> Iterator[list[str]]: ...
    def __next__(self) -> list[str]: ...


class _Columns(NamedTuple):
    """The names of the columns of a file."""

    numbers: Sequence[str]
    texts: Sequence[str]
    optional: Sequence[str]

    @property
    def needed(self) -> tuple[str, ...]:
        return (*self.numbers, *self.texts)


def _read(lines: _Lines, path: str, columns: _Columns) -> Table:
    header = _read_header(lines, path, columns)
    indices = [header.index(name) for name in columns.numbers]
    time_index = header.index(TIME) if TIME in header and TIME not in columns.needed else None
    rows: list[tuple[float | None, ...]] = []
    texts: list[tuple[str, ...]] = []
    times: list[int] = []
    numbers: list[int] = []
    for cells in filter(None, lines):
        place = f"{path}, line {lines.line_num}"
        if len(cells) != len(header):
            raise InvalidRequest(f"{place} has {len(cells)} cells: expected {len(header)}, as the header has")
        numbers.append(lines.line_num)
        rows.append(tuple(_number(cells[index], place, header[index]) for index in indices))
        texts.append(_texts(dict(zip(header, cells, strict=True)), columns))
        if time_index is not None:
            times.append(_time(cells[time_index], place, times[-1:]))
    if not rows:
        raise InvalidRequest(f"{path} has no row below its header: expected at least one")
    return Table(tuple(rows), None if time_index is None else tuple(times), tuple(numbers), tuple(texts))


def _texts(cells: Mapping[str, str], columns: _Columns) -> tuple[str, ...]:
    """Return the texts of a row, "" for those of columns that are not there."""
    return tuple(cells.get(name, "") for name in (*columns.texts, *columns.optional))


def _read_header(lines: _Lines, path: str, columns: _Columns) -> list[str]:
    header = next(lines, None)
    if not header:
        raise InvalidRequest(f"{path} has no header: expected one that names {', '.join(columns.needed)}")
    _check_header(header, path, columns)
    return header


def _check_header(header: list[str], path: str, columns: _Columns) -> None:
    optional = [name for name in (*columns.optional, TIME) if name not in columns.needed]
    expected = f"{', '.join(columns.needed)} and perhaps {', '.join(optional)}"
    for name in columns.needed:
        if header.count(name) != 1:
            raise InvalidRequest(f"{path} has {header.count(name)} columns {name!r}: expected one each of {expected}")
    for name in header:
        if name not in columns.needed and (name not in optional or header.count(name) > 1):
            raise InvalidRequest(f"{path} has a column {name!r}: expected only {expected}")


def _number(cell: str, place: str, column: str) -> float | None:
    if not cell.strip():
        return None
    try:
        number = float(cell)
    except ValueError:
        number = float("nan")
    # Python alone reads 1_000 as a number.
    if not isfinite(number) or abs(number) > MAX_ABS or "_" in cell:
        raise InvalidRequest(f"{place}: {column} is {cell!r}: expected a number, or nothing where it is missing")
    return number


def _time(cell: str, place: str, before: list[int]) -> int:
    """Parse a time, which comes after the one of the row above, if there is any."""
    try:
        time = parse_rfc3339(cell.strip(), naive=True)
    except ValueError:
        raise InvalidRequest(
            f"{place}: {TIME} is {cell!r}: expected a time as in RFC 3339, such as 2024-05-01T12:00:00Z"
        ) from None
    if before and time <= before[0]:
        raise InvalidRequest(
            f"{place}: {TIME} is {cell!r}: expected a time after {format_rfc3339(before[0])}, that of the row above"
        )
    return time
