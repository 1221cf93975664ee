"""When observations came: checked against one another and the stream, and made regular where the model is."""

from dataclasses import dataclass

import numpy as np

from service.domain.errors import InputTooLong, InvalidRequest
from service.domain.operations import SeriesInput
from service.domain.rfc3339 import format_rfc3339
from service.nets.forecast_inputs.preprocessor import Numbers, Preprocessor, Times
from service.tasks.forecasting.session_state import StreamState


def read_times(given: SeriesInput, standing: StreamState, preprocessor: Preprocessor) -> Times | None:
    """Return the rows' times, ascending from the last known one. Raises InvalidRequest."""
    count = len(given.values or ())
    if given.timestamps is None:
        if preprocessor.config.calendar and count:
            raise InvalidRequest(
                f"input.timestamps is missing: expected one time per row, since the model reads the calendar "
                f"({', '.join(preprocessor.config.calendar)})",
                param="input.timestamps",
            )
        return None
    if len(given.timestamps) != count:
        raise InvalidRequest(
            f"input.timestamps has {len(given.timestamps)} entries: expected {count}, one per row of input.values",
            param="input.timestamps",
        )
    times = np.array(given.timestamps, dtype=np.int64)
    before = standing.time
    for at, time in enumerate(times.tolist()):
        if before is not None and time <= before:
            raise InvalidRequest(
                f"input.timestamps[{at}] is {format_rfc3339(time)}: expected a time after {format_rfc3339(before)}, "
                "that of the observation before",
                param=f"input.timestamps[{at}]",
            )
        before = time
    return times


@dataclass(frozen=True, slots=True)
class RegularizedRows:
    """Rows with those put in that a regular series left out: values (n, F), times (n,), the places of the client's own.

    `after` is when the stream stands behind them: in a regular one on its grid, whatever a single row's time wavers.
    """

    values: Numbers
    times: Times | None
    told: list[int]
    after: int | None


def regular_rows(
    values: Numbers, times: Times | None, standing: StreamState, preprocessor: Preprocessor, most: int
) -> RegularizedRows:
    """Put in rows of missing values where the times of a regular series leave steps out.

    Raises InvalidRequest for two rows that fall on one step, InputTooLong for more than `most` rows in all.
    """
    told, step = list(range(len(values))), 1_000_000 * (preprocessor.config.step_seconds or 0)
    if times is None:
        known = standing.time is not None and (step or not told)
        return RegularizedRows(values, None, told, (standing.time or 0) + step * len(told) if known else None)
    if not step:
        return RegularizedRows(values, times, told, int(times[-1]))
    before = int(times[0]) - step if standing.time is None else standing.time
    places = np.rint((times - before) / step).astype(np.int64)
    _check_places(places, times, before, preprocessor, most)
    whole = np.full((int(places[-1]), values.shape[1]), np.nan)
    filled = before + step * np.arange(1, len(whole) + 1, dtype=np.int64)
    whole[places - 1], filled[places - 1] = values, times
    return RegularizedRows(whole, filled, (places - 1).tolist(), before + step * int(places[-1]))


def _check_places(places: Times, times: Times, before: int, preprocessor: Preprocessor, most: int) -> None:
    """Refuse a row on the step of another, and gaps that are too long."""
    frequency, steps = preprocessor.config.frequency, np.diff(places, prepend=0)
    if (steps < 1).any():
        at = int(np.argmax(steps < 1))
        raise InvalidRequest(
            f"input.timestamps[{at}] is {format_rfc3339(int(times[at]))}, on the same step as "
            f"{format_rfc3339(before if at == 0 else int(times[at - 1]))} before it: "
            f"expected one row every {frequency}",
            param=f"input.timestamps[{at}]",
        )
    if places[-1] > most:
        at = int(steps.argmax())
        raise InputTooLong(
            f"input.timestamps[{at}] is {format_rfc3339(int(times[at]))}, {steps[at]} steps of {frequency} "
            f"after the observation before: expected at most {most} steps in one request",
            param=f"input.timestamps[{at}]",
        )
