"""Files of `torch.save` before PyTorch 1.6: five pickles, and the bytes of the storages behind them."""

import struct
from dataclasses import dataclass
from typing import BinaryIO

import torch

from service.tooling.formats.values.tensors import Storage, storage_of
from service.tooling.pickles.budget import PickleBudget
from service.tooling.pickles.reader import read_pickle
from service.tooling.pickles.values import Mentions, PickleError, Reference

MAGIC = 0x1950A86A20F9469CFC6C
PROTOCOL = 1001
COUNT = struct.Struct("<q")


@dataclass(frozen=True, slots=True)
class _Extent:
    """Where the bytes of a storage stand in the file."""

    begin: int
    size: int
    dtype: torch.dtype


class LegacyFile:
    """The saved value of a file, and its storages, which are read on demand."""

    def __init__(self, file: BinaryIO, size: int, budget: PickleBudget) -> None:
        """Read the pickles at the start of `file`, of `size` bytes. Raises PickleError."""
        self._file = file
        self._storages: dict[str, Storage] = {}
        if read_pickle(file, budget) != MAGIC or read_pickle(file, budget) != PROTOCOL:
            raise PickleError("a pickle that is no file of torch.save")
        system = read_pickle(file, budget)
        if isinstance(system, dict) and system.get("little_endian") is False:
            raise PickleError("numbers in the byte order of another machine")
        self.mentions = Mentions()
        self.saved = read_pickle(file, budget, self.mentions)
        self._extents = _extents(file, size, read_pickle(file, budget), self.mentions.references)

    def storage(self, key: str) -> Storage:
        """Return a storage. Raises PickleError if the file does not hold it."""
        if key not in self._storages:
            extent = self._extents.get(key)
            if extent is None:
                raise PickleError(f"no storage {key[:40]!r}")
            data = bytearray(extent.size)
            self._file.seek(extent.begin)
            if self._file.readinto(data) != len(data):  # type: ignore[attr-defined]  # of any buffered file
                raise PickleError("a file that ends early")
            self._storages[key] = Storage(data, extent.dtype)
        return self._storages[key]


def is_legacy(head: bytes) -> bool:
    """Return whether a file starts with the number that marks this format."""
    return MAGIC.to_bytes(10, "little") in head[:64] and head[:1] == b"\x80"


def _extents(file: BinaryIO, size: int, keys: object, references: list[Reference]) -> dict[str, _Extent]:
    """Return where the storages stand, each behind the number of its elements."""
    described = {item[0]: item for item in map(storage_of, (reference.key for reference in references)) if item}
    extents: dict[str, _Extent] = {}
    for key in keys if isinstance(keys, list) else ():
        count, (_, dtype, _, _) = _count(file), described.get(str(key)) or (None, None, None, None)
        if dtype is None:
            raise PickleError(f"a storage {str(key)[:40]!r} of a dtype that is not known here")
        begin, length = file.tell(), count * dtype.itemsize
        if not 0 <= length <= size - begin:
            raise PickleError("a file that ends early")
        extents[str(key)] = _Extent(begin, length, dtype)
        file.seek(begin + length)
    return extents


def _count(file: BinaryIO) -> int:
    data = file.read(COUNT.size)
    if len(data) != COUNT.size:
        raise PickleError("a file that ends early")
    count: int = COUNT.unpack(data)[0]
    return count
