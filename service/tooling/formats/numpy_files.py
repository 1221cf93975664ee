"""Files of numpy: `.npy` and `.npz`, with arrays or with pickled dictionaries of arrays."""

import io
import re
from typing import BinaryIO

from service.tooling.formats.archive import Archive
from service.tooling.formats.format import Format
from service.tooling.formats.network import SavedNetwork
from service.tooling.formats.source import Source
from service.tooling.formats.values.arrays import Array, dtype_of, objects_of, shaped
from service.tooling.formats.values.assembly import assemble
from service.tooling.formats.values.tensors import Storage
from service.tooling.pickles.budget import MAX_PICKLE_BYTES, PickleBudget
from service.tooling.pickles.reader import read_pickle
from service.tooling.pickles.values import Mentions, PickleError

MAGIC = b"\x93NUMPY"
EXPECTED = "arrays as numpy.save and numpy.savez write them"
HEADER = re.compile(
    r"\{'descr': '(?P<descr>[^']{1,20})', 'fortran_order': (?P<fortran>True|False), "
    r"'shape': \((?P<shape>[0-9, ]*)\),? ?\}\s*"
)
MAX_HEADER_BYTES = 2**16
MAX_DIGITS = 19


class NumpyArchive(Format):
    """Zip files of arrays, as `numpy.savez` writes them: the names of the members are those of the tensors."""

    def recognizes(self, source: Source) -> bool:
        names = [] if source.archive is None else source.archive.names
        return bool(names) and all(name.endswith(".npy") for name in names)

    def read(self, source: Source) -> SavedNetwork:
        archive = source.archive
        if archive is None:
            raise source.error("no archive", EXPECTED)
        values = {name.removesuffix(".npy"): self._member(source, archive, name) for name in archive.names}
        only = next(iter(values.values()))
        # numpy.savez(file, weights=dictionary) makes an array of one object.
        saved = only if len(values) == 1 and isinstance(only, dict) else values
        return assemble(source, saved, _no_storages, Mentions(), "arrays of numpy")

    def _member(self, source: Source, archive: Archive, name: str) -> object:
        content = archive.read(name)
        try:
            return read_array(io.BytesIO(content), len(content))
        except PickleError as error:
            raise source.error(f"{name[:80]!r}: {error}", EXPECTED) from error


class NumpyArray(Format):
    """One array of `numpy.save`, which is a network only if it is a pickled dictionary of arrays."""

    def recognizes(self, source: Source) -> bool:
        return source.head.startswith(MAGIC)

    def read(self, source: Source) -> SavedNetwork:
        try:
            saved = read_array(source.rewound(), source.size)
        except PickleError as error:
            raise source.error(str(error), EXPECTED) from error
        if not isinstance(saved, dict | list):
            raise source.error(
                "one array without a name", "a network: names with arrays, as numpy.savez(file, **arrays) writes them"
            )
        return assemble(source, saved, _no_storages, Mentions(), "arrays of numpy")


def read_array(file: BinaryIO, size: int) -> object:
    """Return the array of a `.npy` file of `size` bytes, or the value of one with a single object.

    Raises PickleError.
    """
    header = _header(file)
    match = HEADER.fullmatch(header)
    if match is None:
        raise PickleError(f"an array of another kind ({header.strip()[:100]!r})")
    if match["descr"] in {"|O", "O"}:
        return _object(file, size)
    texts = [text.strip() for text in match["shape"].split(",") if text.strip()]
    if any(len(text) > MAX_DIGITS for text in texts):
        raise PickleError("an array whose shape is none")
    dtype = dtype_of(match["descr"])
    data = file.read()
    return shaped(data, dtype, tuple(map(int, texts)), "F" if match["fortran"] == "True" else "C")


def _header(file: BinaryIO) -> str:
    start = file.read(8)
    if not start.startswith(MAGIC) or len(start) < 8:
        raise PickleError("no array")
    size = int.from_bytes(file.read(2 if start[6] == 1 else 4), "little")
    if size > MAX_HEADER_BYTES:
        raise PickleError(f"a header of {size} bytes")
    return file.read(size).decode("latin-1")


def _object(file: BinaryIO, size: int) -> object:
    """Return the value of an array of one object, or the list of several. They are pickled; nothing is run."""
    value = read_pickle(file, PickleBudget(MAX_PICKLE_BYTES + size))
    objects = objects_of(value)
    if objects is None:
        raise PickleError("an array of objects")
    return objects[0] if len(objects) == 1 else objects


def _no_storages(key: str | bytes) -> Storage:
    raise PickleError(f"a tensor outside of the file, {str(key)[:40]!r}")


__all__ = ["Array", "NumpyArchive", "NumpyArray", "read_array"]
