"""Targets of requests: the label or numbers that turned out, validated against the outputs of the model."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from service.domain.errors import InvalidRequest
from service.domain.operations import Json, Observation, Target
from service.nets.forecast_inputs.scaling import Numbers
from service.tasks.numbers import round_digits
from service.tasks.sequence_encoding.answers import Answer

MAX_SHOWN = 80


def read_label(target: Target, indices: Mapping[str, int], field: str = "input.target") -> int:
    """Return the index of a label. Raises InvalidRequest for anything else."""
    if not isinstance(target, str):
        raise _refusal(field, "is no text", indices)
    index = indices.get(target)
    if index is None:
        raise _refusal(field, f"is {target[:MAX_SHOWN]!r}", indices)
    return index


def read_labels(target: Target, indices: Mapping[str, int]) -> list[int]:
    """Return the indices of a list of labels. Raises InvalidRequest for anything else."""
    if not isinstance(target, tuple) or not all(isinstance(label, str) for label in target):
        raise _refusal("input.target", "is no list of texts", indices)
    return [read_label(str(label), indices, f"input.target[{index}]") for index, label in enumerate(target)]


def read_numbers(target: Target, width: int, rows: int) -> Numbers:
    """Return numbers (rows, width), NaN where one is not known.

    A single number or row of numbers is one row of `width`, and a list of numbers for one name a row each. Raises
    InvalidRequest for another type or count.
    """
    if isinstance(target, str) or (isinstance(target, tuple) and isinstance(target[0], str)):
        raise _numbers_refusal("is a text", width, rows)
    numbers = np.array(target, dtype=object)
    shapes: set[tuple[int, ...]] = {(rows, width)}
    if 1 in {rows, width}:
        shapes.add((max(rows, width),))
    if rows == width == 1:
        shapes.add(())
    if numbers.shape not in shapes:
        raise _numbers_refusal(f"has the shape {[*numbers.shape]}", width, rows)
    values: Numbers = numbers.astype(np.float64).reshape(rows, width)  # None becomes NaN
    return values


def compare_labels(output: dict[str, Json], logprobs: Sequence[float], correct: int) -> Answer:
    """Return an answer whose `observed` has the log-probabilities of targets, and how many of these were chosen."""
    count, total = len(logprobs), math.fsum(logprobs)
    observed: dict[str, Json] = {
        "targets": count,
        "correct": correct,
        "mean_logprob": round_digits(total / count),
    }
    return Answer({**output, "observed": observed}, Observation(count, total))


def _refusal(field: str, problem: str, indices: Mapping[str, int]) -> InvalidRequest:
    labels = ", ".join(indices)
    shown = labels if len(labels) <= 4 * MAX_SHOWN else f"{labels[: 4 * MAX_SHOWN]}..."
    return InvalidRequest(f"{field} {problem}: expected a label of the model ({shown})", param=field)


def _numbers_refusal(problem: str, width: int, rows: int) -> InvalidRequest:
    names = f"{width} number{'s' * (width != 1)}, one for each name of the model"
    expected = names if rows == 1 else f"{rows} rows, one for each answer, of {names}"
    return InvalidRequest(f"input.target {problem}: expected {expected}", param="input.target")
