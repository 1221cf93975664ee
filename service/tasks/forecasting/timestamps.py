"""Timestamps of observations: validation, and insertion of missing rows into a regular series.

Times are in microseconds since 1970.
"""

from dataclasses import dataclass, replace

import numpy as np

from service.domain.errors import InputTooLong, InvalidRequest
from service.domain.operations import SeriesInput
from service.domain.rfc3339 import format_rfc3339
from service.nets.forecast_inputs.preprocessor import Preprocessor, Times
from service.nets.forecast_inputs.scaling import Numbers
from service.tasks.forecasting.session_state import StreamState


def continue_times(series: SeriesInput, state: StreamState, preprocessor: Preprocessor) -> SeriesInput:
    """Return a series that came without times with those that follow that of `state`, one step after the other.

    The first row of a stream is at the beginning of 1970. Clients that know a model by its tensors alone, such as load
    generators, send no times. The series of a model that reads no calendar, or has no frequency, stays as it is.
    """
    step = 1_000_000 * (preprocessor.config.step_seconds or 0)
    if series.timestamps is not None or not series.values or not step or not preprocessor.config.calendar:
        return series
    before = -step if state.time is None else state.time
    return replace(series, timestamps=tuple(before + step * row for row in range(1, len(series.values) + 1)))


def read_times(series: SeriesInput, state: StreamState, preprocessor: Preprocessor) -> Times | None:
    """Return the times (n,) of the rows of a series, or None if it has none.

    Raises InvalidRequest unless there is one time per row, each later than the one before and than that of `state`, or
    if there are none although the model reads the calendar.
    """
    count = len(series.values or ())
    if series.timestamps is None:
        if preprocessor.config.calendar and count:
            raise InvalidRequest(
                f"input.timestamps is missing: expected one time per row, since the model reads the calendar "
                f"({', '.join(preprocessor.config.calendar)})",
                param="input.timestamps",
            )
        return None
    if len(series.timestamps) != count:
        raise InvalidRequest(
            f"input.timestamps has {len(series.timestamps)} entries: expected {count}, one per row of input.values",
            param="input.timestamps",
        )
    times = np.array(series.timestamps, dtype=np.int64)
    _check_ascending(times, state.time)
    return times


def _check_ascending(times: Times, before: int | None) -> None:
    for index, time in enumerate(times.tolist()):
        if before is not None and time <= before:
            raise InvalidRequest(
                f"input.timestamps[{index}] is {format_rfc3339(time)}: expected a time after {format_rfc3339(before)}, "
                "that of the observation before",
                param=f"input.timestamps[{index}]",
            )
        before = time


@dataclass(frozen=True, slots=True)
class RegularizedRows:
    """The rows of a series, with rows of NaN inserted for the steps that a regular series left out.

    `values` is (n, F) and `times` is (n,) or None. `indices` are those of the client's rows. `last_time` is the time of
    the last row, for a regular series that of its step, from which a row's own time may differ. `interval` is the time
    from each row to the next: the model's frequency, else that of the rows if they are evenly spaced, else None.
    """

    values: Numbers
    times: Times | None
    indices: list[int]
    last_time: int | None
    interval: int | None

    def times_after(self, steps: int) -> list[int] | None:
        """Return the times of the next rows, or None if they are not known."""
        if self.last_time is None or self.interval is None:
            return None
        return [self.last_time + self.interval * step for step in range(1, steps + 1)]


def regularize_rows(
    values: Numbers, times: Times | None, state: StreamState, preprocessor: Preprocessor, max_rows: int
) -> RegularizedRows:
    """Insert rows of NaN into `values` (n, F) where the times (n,) of a regular series leave out steps.

    Raises InvalidRequest for two rows on one step, InputTooLong for more than `max_rows` rows in all.
    """
    indices, step = list(range(len(values))), 1_000_000 * (preprocessor.config.step_seconds or 0)
    if times is None:
        known = state.time is not None and (step or not indices)
        last_time = (state.time or 0) + step * len(indices) if known else None
        return RegularizedRows(values, None, indices, last_time, step or None)
    if not step:
        return RegularizedRows(values, times, indices, int(times[-1]), _even_interval(times, state.time))
    before = int(times[0]) - step if state.time is None else state.time
    # The number of each row's step, from 1.
    steps = np.rint((times - before) / step).astype(np.int64)
    _check_steps(steps, times, before, preprocessor, max_rows)
    all_values = np.full((int(steps[-1]), values.shape[1]), np.nan)
    all_times = before + step * np.arange(1, len(all_values) + 1, dtype=np.int64)
    all_values[steps - 1], all_times[steps - 1] = values, times
    return RegularizedRows(all_values, all_times, (steps - 1).tolist(), before + step * int(steps[-1]), step)


def _even_interval(times: Times, before: int | None) -> int | None:
    """Return the interval between all rows, the one before them included, or None if there is none."""
    intervals = np.diff(times if before is None else np.insert(times, 0, before))
    return int(intervals[0]) if len(intervals) and (intervals == intervals[0]).all() else None


def _check_steps(steps: Times, times: Times, before: int, preprocessor: Preprocessor, max_rows: int) -> None:
    """Raise InvalidRequest for two rows on one step, InputTooLong for too many steps."""
    frequency, gaps = preprocessor.config.frequency, np.diff(steps, prepend=0)
    if (gaps < 1).any():
        index = int(np.argmax(gaps < 1))
        raise InvalidRequest(
            f"input.timestamps[{index}] is {format_rfc3339(int(times[index]))}, on the same step as "
            f"{format_rfc3339(before if index == 0 else int(times[index - 1]))} before it: "
            f"expected one row every {frequency}",
            param=f"input.timestamps[{index}]",
        )
    if steps[-1] > max_rows:
        index = int(gaps.argmax())
        raise InputTooLong(
            f"input.timestamps[{index}] is {format_rfc3339(int(times[index]))}, {gaps[index]} steps of {frequency} "
            f"after the observation before: expected at most {max_rows} steps in one request. To go on, feed rows of "
            "nulls in between to a session, in several steps, or begin a new session with this row",
            param=f"input.timestamps[{index}]",
        )
