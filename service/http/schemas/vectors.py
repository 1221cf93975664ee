"""Vectors in request bodies: what the sequences of a conditioned model begin with."""

from service.domain.operations import MAX_VECTOR_NUMBER, VECTOR_NUMBER
from service.http.schemas.series import NUMBERS, reject


def read_vector(value: object) -> tuple[float, ...]:
    """Return a vector from a list of numbers, all of which are checked at once. Raises ValidationError."""
    if not isinstance(value, list) or not value:
        reject(value, "expected a list of at least one number")
    if not set(map(type, value)) <= NUMBERS:
        index = next(index for index, number in enumerate(value) if type(number) not in NUMBERS)
        reject(value[index], "expected a number", index)
    if not max(map(abs, value)) <= MAX_VECTOR_NUMBER:
        index = next(index for index, number in enumerate(value) if not abs(number) <= MAX_VECTOR_NUMBER)
        reject(value[index], f"expected {VECTOR_NUMBER}", index)
    return tuple(map(float, value))
