"""When observations came: checked against one another and the stream, and made regular where the model is."""

import numpy as np

from service.errors import InputTooLong, InvalidRequest
from service.nets.preprocessor import Numbers, Preprocessor, Times
from service.tasks.standing import Standing
from service.times import written
from service.types import SeriesInput


def read_times(given: SeriesInput, standing: Standing, preprocessor: Preprocessor) -> Times | None:
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
                f"input.timestamps[{at}] is {written(time)}: expected a time after {written(before)}, "
                "that of the observation before",
                param=f"input.timestamps[{at}]",
            )
        before = time
    return times


def regular_rows(
    values: Numbers, times: Times | None, standing: Standing, preprocessor: Preprocessor, most: int
) -> tuple[Numbers, Times | None, list[int]]:
    """Put in rows of missing values where the times of a regular series leave steps out.

    Returns values (n, F), times (n,) and the places of the client's own rows. Times may waver by less than half a step.
    Raises InvalidRequest for rows closer than that, InputTooLong for more than `most` rows in all.
    """
    step = preprocessor.config.step_seconds
    if times is None or step is None:
        return values, times, list(range(len(values)))
    before = standing.time if standing.time is not None else int(times[0]) - 1_000_000 * step
    gaps = np.diff(times, prepend=before) / (1_000_000 * step)
    steps = np.rint(gaps).astype(np.int64)
    if (steps < 1).any():
        at = int(np.argmax(steps < 1))
        raise InvalidRequest(
            f"input.timestamps[{at}] is {written(int(times[at]))}, {gaps[at] * step:g} s after the observation before: "
            f"expected about {step} s (frequency {preprocessor.config.frequency})",
            param=f"input.timestamps[{at}]",
        )
    total = int(steps.sum())
    if total > most:
        at, frequency = int(steps.argmax()), preprocessor.config.frequency
        raise InputTooLong(
            f"input.timestamps[{at}] is {written(int(times[at]))}, {steps[at]} steps of {frequency} "
            f"after the observation before: expected at most {most} steps in one request",
            param=f"input.timestamps[{at}]",
        )
    told = np.cumsum(steps) - 1
    whole = np.full((total, values.shape[1]), np.nan)
    whole[told] = values
    # Counted back from the row that ends each gap: the times of the client's own rows stay as they came.
    next_told = np.searchsorted(told, np.arange(total))
    filled = times[next_told] - 1_000_000 * step * (told[next_told] - np.arange(total))
    return whole, filled, told.tolist()
