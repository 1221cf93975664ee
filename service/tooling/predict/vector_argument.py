"""The vector that a sequence begins with, on the command line or in a file."""

import json
from pathlib import Path

from service.domain.errors import InvalidRequest, ModelFolderError
from service.domain.files import read_file
from service.domain.operations import MAX_VECTOR_NUMBER, VECTOR_NUMBER

MAX_VECTOR_BYTES = 2**22
_FORM = "a JSON list of numbers, or @FILE with one"


def read_vector(model: str, argument: str | None, size: int) -> tuple[float, ...]:
    """Return the vector of `size` numbers for the model named `model`. Raises InvalidRequest."""
    if argument is None:
        raise InvalidRequest(
            f"--vector is missing: expected {size} numbers, which a sequence of {model} begins with, as {_FORM}"
        )
    numbers = _read(argument)
    if len(numbers) != size:
        raise InvalidRequest(f"--vector has {len(numbers)} numbers: expected {size}, as {model} reads")
    return numbers


def _read(argument: str) -> tuple[float, ...]:
    place, content = "--vector", argument.encode()
    if argument.startswith("@"):
        place = f"--vector {argument}"
        try:
            content = read_file(Path(argument[1:]), MAX_VECTOR_BYTES, "a JSON list of numbers")
        except ModelFolderError as error:
            raise InvalidRequest(f"--vector: {error}") from None
    try:
        numbers = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"{place} is no JSON ({error}): expected {_FORM}") from None
    if not isinstance(numbers, list):
        raise InvalidRequest(f"{place} is {str(numbers)[:40]!r}: expected {_FORM}")
    for index, number in enumerate(numbers):
        # A bare NaN is none of these, either.
        if isinstance(number, bool) or not isinstance(number, int | float) or not abs(number) <= MAX_VECTOR_NUMBER:
            raise InvalidRequest(f"{place}[{index}] is {str(number)[:40]!r}: expected {VECTOR_NUMBER}")
    return tuple(map(float, numbers))
