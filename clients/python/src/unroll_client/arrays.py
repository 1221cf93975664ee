"""Conversion from and to numpy and pandas, which are imported only where they are used."""

import math
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


def is_pandas(value: object) -> bool:
    """Return whether a value is a pandas Series or DataFrame."""
    pandas: Any = sys.modules.get("pandas")
    return pandas is not None and isinstance(value, pandas.Series | pandas.DataFrame)


def is_numpy(value: object) -> bool:
    """Return whether a value is a numpy array."""
    numpy: Any = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, numpy.ndarray)


def to_values(value: Any) -> list[Any]:  # noqa: ANN401 - arrays, sequences and tables
    """Return observations as JSON: a list of numbers, or of rows of numbers, with None for NaN."""
    if is_pandas(value):
        value = value.to_numpy(dtype="float64", na_value=math.nan)
    if is_numpy(value):
        if value.ndim not in {1, 2}:
            raise ValueError(f"the array has {value.ndim} dimensions: expected time, or time by feature")
        value = value.tolist()
    return [[_number(number) for number in row] if _is_row(row) else _number(row) for row in value]


def to_vector(value: Any) -> list[Any]:  # noqa: ANN401 - arrays and sequences
    """Return a vector as JSON. Raises ValueError for rows of numbers."""
    numbers = to_values(value)
    if any(isinstance(number, list) for number in numbers):
        raise ValueError("the vector has several dimensions: expected a single one")
    return numbers


def _is_row(value: object) -> bool:
    return is_numpy(value) or (isinstance(value, Sequence) and not isinstance(value, str))


def _number(value: Any) -> float | None:  # noqa: ANN401 - a number of any type
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    return None if math.isnan(number := float(value)) else number


def to_json(value: Any) -> Any:  # noqa: ANN401 - JSON, and arrays in it
    """Return the JSON of a member of an input: arrays become lists, with None for NaN, also those of an object."""
    if isinstance(value, Mapping):
        return {name: to_json(member) for name, member in value.items()}
    if is_pandas(value):
        return to_values(value)
    if is_numpy(value):
        plain = value.astype(object)
        plain[value != value] = None  # noqa: PLR0124 - only NaN differs from itself
        return plain.tolist()
    return value


def times_of(value: Any) -> list[str] | None:  # noqa: ANN401 - a Series or DataFrame
    """Return the times of a Series or DataFrame with a DatetimeIndex; times without a zone are UTC."""
    import pandas as pd  # noqa: PLC0415 - optional

    return to_times(value.index) if isinstance(value.index, pd.DatetimeIndex) else None


def to_times(times: Any) -> Any:  # noqa: ANN401 - times of any type
    """Return times as RFC 3339 texts. Texts and `{"start", "step_seconds"}` stay as they are."""
    if isinstance(times, Mapping):
        return dict(times)
    if is_numpy(times):
        import pandas as pd  # noqa: PLC0415 - optional

        times = pd.DatetimeIndex(times)
    return [time if isinstance(time, str) else _rfc3339(time) for time in times]


def _rfc3339(time: datetime) -> str:
    return f"{time.isoformat()}Z" if time.tzinfo is None else time.isoformat()


def to_numpy(rows: Sequence[Any]) -> "np.ndarray[Any, np.dtype[np.float64]]":
    """Return rows of numbers as an array."""
    import numpy as np  # noqa: PLC0415 - optional

    return np.asarray(rows, dtype=np.float64)


def to_array(tensor: Any) -> "np.ndarray[Any, Any]":  # noqa: ANN401 - nested lists
    """Return nested lists of numbers as an array."""
    import numpy as np  # noqa: PLC0415 - optional

    return np.asarray(tensor)


def to_table(rows: Sequence[Any], names: Sequence[str]) -> "pd.DataFrame":
    """Return rows of numbers as a table with named columns."""
    import pandas as pd  # noqa: PLC0415 - optional

    return pd.DataFrame(rows, columns=list(names))


def to_frame(
    mean: Sequence[Any],
    quantiles: Mapping[str, Sequence[Any]],
    features: Sequence[str],
    times: Sequence[datetime] | None,
) -> "pd.DataFrame":
    """Return a forecast as a table with one row for each step ahead."""
    import pandas as pd  # noqa: PLC0415 - optional

    columns: dict[str | float, Sequence[Any]] = {"mean": mean}
    columns |= {float(level): rows for level, rows in quantiles.items()}
    index = pd.RangeIndex(1, len(mean) + 1, name="step") if times is None else pd.DatetimeIndex(times, name="time")
    if mean and not _is_row(mean[0]):
        return pd.DataFrame(columns, index=index)
    tables = {name: pd.DataFrame(rows, index=index, columns=list(features)) for name, rows in columns.items()}
    joined = pd.concat(tables, axis=1).swaplevel(axis=1)
    return joined[list(features)]
