"""Files of joblib: a pickle in which the bytes of each array follow the object that stands for it."""

import gzip
import io
import zlib
from math import prod
from typing import BinaryIO

from service.tooling.formats.values.arrays import MAX_DIMENSIONS, array_of_parts
from service.tooling.pickles.budget import MAX_PICKLE_BYTES, BoundedReader, PickleBudget
from service.tooling.pickles.reader import read_pickle
from service.tooling.pickles.values import Instance, PickleError
from service.tooling.preprocessing.plain_values import characters_of, unicode_texts

WRAPPER = "joblib.numpy_pickle.NumpyArrayWrapper"
GZIP, ZLIB = b"\x1f\x8b", (b"x\x01", b"x^", b"x\x9c", b"x\xda")
#: Bytes of a file of preprocessing when it is unpacked.
MAX_BYTES = MAX_PICKLE_BYTES


def is_compressed(head: bytes) -> bool:
    """Return whether a file starts as joblib's compressed ones do."""
    return head.startswith((GZIP, *ZLIB))


def unpacked(content: bytes) -> bytes:
    """Return the content of a compressed file. Raises PickleError if it is damaged, or too much."""
    try:
        if content.startswith(GZIP):
            with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
                result = file.read(MAX_BYTES + 1)
        else:
            result = zlib.decompressobj().decompress(content, MAX_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise PickleError(f"a damaged compressed file ({str(error)[:100]})") from error
    if len(result) > MAX_BYTES:
        raise PickleError(f"a compressed file of more than {MAX_BYTES} bytes")
    return result


def read_dump(file: BinaryIO, budget: PickleBudget) -> object:
    """Return the value of a file of joblib or of `pickle.dump`. Nothing of it is run. Raises PickleError."""

    def following(made: Instance, reader: BoundedReader) -> object:
        return _array(made, reader, budget, file) if made.name == WRAPPER else made

    return read_pickle(file, budget, following=following)


def _array(wrapper: Instance, reader: BoundedReader, budget: PickleBudget, file: BinaryIO) -> object:
    """Return the array behind an object of joblib."""
    state = wrapper.attributes
    dtype, shape = state.get("dtype"), state.get("shape")
    if isinstance(dtype, Instance) and dtype.arguments[:1] in {("O",), ("O8",)}:
        return _objects(file, budget)
    if state.get("numpy_array_alignment_bytes") is not None:
        reader.read(int.from_bytes(reader.read(1), "little"))
    if not isinstance(shape, tuple) or len(shape) > MAX_DIMENSIONS or any(type(size) is not int for size in shape):
        raise PickleError("an array whose shape is none")
    if characters := characters_of(dtype):
        return unicode_texts(reader.read(4 * characters * max(prod(shape), 0)), characters)
    size = _item_size(dtype) * prod(shape)
    array = array_of_parts(reader.read(max(size, 0)), dtype, shape, str(state.get("order")))
    if array is None:
        raise PickleError("an array of another kind than plain numbers")
    return array


def _objects(file: BinaryIO, budget: PickleBudget) -> object:
    """Return an array of objects, which is a pickle of its own."""
    return read_pickle(file, budget)


def _item_size(dtype: object) -> int:
    kind = dtype.arguments[0] if isinstance(dtype, Instance) and dtype.arguments else ""
    digits = str(kind).lstrip("<>=|fiub")
    return int(digits) if digits.isdecimal() and len(digits) < 3 else 0
