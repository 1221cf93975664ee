"""Bounds on the bytes and instructions of the pickles of a file."""

from dataclasses import dataclass, field
from typing import BinaryIO

from service.tooling.pickles.values import PickleError

#: Bytes and instructions of all pickles in a file. The weights of a `torch.save` file are outside of them.
MAX_PICKLE_BYTES = 2**25
MAX_INSTRUCTIONS = 2**21


@dataclass(slots=True)
class PickleBudget:
    """Bytes and work that the pickles of one file may still take. Raises PickleError above a limit."""

    max_bytes: int = MAX_PICKLE_BYTES
    max_instructions: int = MAX_INSTRUCTIONS
    _bytes: int = field(default=0, init=False)
    _instructions: int = field(default=0, init=False)

    def count_work(self, amount: int = 1) -> None:
        """Count instructions, or values that an instruction copies."""
        self._instructions += amount
        if self._instructions > self.max_instructions:
            raise PickleError(f"a pickle of more than {self.max_instructions} instructions")

    def count_bytes(self, amount: int) -> None:
        """Count bytes before they are read."""
        self._bytes += amount
        if self._bytes > self.max_bytes:
            raise PickleError(f"a pickle of more than {self.max_bytes} bytes")


class BoundedReader:
    """Reader of a pickle that counts what is read, before it is read."""

    def __init__(self, budget: PickleBudget, file: BinaryIO) -> None:
        self._budget = budget
        self._file = file

    def read(self, size: int) -> bytes:
        self._budget.count_bytes(size)
        return self._file.read(size)

    def readline(self) -> bytes:
        line = self._file.readline(self._budget.max_bytes)
        self._budget.count_bytes(len(line))
        return line
