"""Cost of an operation: what it takes of a worker at most, known from sizes alone."""

from typing import NamedTuple


class Cost(NamedTuple):
    """Upper bounds of the work and the memory of an operation.

    Attributes:
        timesteps: rows that are fed to the network, a row for each timestep, beam and sample path.
        numbers: numbers, or tokens, in the answer.
        memory: bytes that the input, the answer and intermediate states take until the operation has ended.
    """

    timesteps: int
    numbers: int
    memory: int


#: Bytes of a number in an answer: a Python float in a list, and its digits in JSON.
NUMBER_BYTES = 48
#: Bytes of a token in an input or an answer, kept as text and as an id.
TOKEN_BYTES = 128
