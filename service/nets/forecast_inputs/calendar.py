"""Calendar features of times in UTC: hour of day and day of year as sine and cosine, day of week as one-hot."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

MICROSECONDS_PER_DAY = 86_400_000_000
#: The numbers of the days of the week, (7, 1).
WEEKDAYS = np.arange(7)[:, None]


def calendar_columns(names: Sequence[str], times: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the calendar features (n, width) of `names` for times (n,) in microseconds since 1970."""
    days, remainder = np.divmod(times, MICROSECONDS_PER_DAY)
    fraction_of_day = remainder / MICROSECONDS_PER_DAY
    columns: list[NDArray[np.float64]] = []
    for name in names:
        if name == "hour_of_day":
            columns += _cyclic(fraction_of_day)
        elif name == "day_of_week":
            # 1970 began on a Thursday; Monday is the first column.
            weekdays = (days + 3) % 7
            columns.extend((weekdays == WEEKDAYS).astype(np.float64))
        else:
            dates = days.astype("datetime64[D]")
            day_of_year = (dates - dates.astype("datetime64[Y]").astype("datetime64[D]")).astype(np.float64)
            columns += _cyclic((day_of_year + fraction_of_day) / 365.25)
    return np.array(columns).T


def _cyclic(fraction: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    return [np.sin(2 * np.pi * fraction), np.cos(2 * np.pi * fraction)]
