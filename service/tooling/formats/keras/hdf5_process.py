"""Reader of HDF5 in a process of its own: this file is its script, and the HDF5 file its standard input.

HDF5 is machine code that reads what others wrote. It runs here under limits of memory, time and open files, so that a
hostile file ends this process at worst. Standard output is the length of a JSON header (8 bytes), the header, and the
bytes of all arrays. The process exits with REFUSED after it has written the reason to standard output.
"""

import codecs
import io
import json
import resource
import sys
from typing import Any

REFUSED = 3
#: Processor time in seconds.
MAX_SECONDS = 60
#: Address space: some for the libraries, and some for each byte of the file.
MEMORY_BYTES = 2**30
MEMORY_PER_BYTE = 8
#: Groups and datasets of a file, and levels of groups.
MAX_OBJECTS = 20_000
MAX_LEVELS = 16
#: Bytes of an array for each byte that is stored: more than gzip can reach.
MAX_RATIO = 1100
#: Filters of HDF5 that are known: gzip, shuffle and a checksum.
FILTERS = {1, 2, 3}
#: Attributes that describe a model, also in parts with a number behind.
ATTRIBUTES = ("model_config", "keras_version", "layer_names", "weight_names", "name")


class Unusable(Exception):
    """Raised with the reason why a file is not read."""


class Reader:
    """Walks through the groups of a file and keeps the arrays and attributes."""

    def __init__(self, max_bytes: int) -> None:
        self.header: dict[str, Any] = {"attributes": {}, "arrays": []}
        self.data: list[bytes] = []
        self._left = max_bytes
        self._objects = 0

    def walk(self, group: Any, path: str = "", level: int = 0) -> None:  # noqa: ANN401 - h5py has no types
        """Read a group and what it contains. Raises Unusable."""
        import h5py  # noqa: PLC0415 - imported before the limits are set

        self._attributes(path, group)
        for name in group:
            self._objects += 1
            if self._objects > MAX_OBJECTS or level > MAX_LEVELS:
                raise Unusable(f"more than {MAX_OBJECTS} groups and arrays, or more than {MAX_LEVELS} levels")
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise Unusable(f"a link to another place at {f'{path}/{name}'[:80]!r}")
            item = group[name]
            if isinstance(item, h5py.Group):
                self.walk(item, f"{path}/{name}", level + 1)
            elif isinstance(item, h5py.Dataset):
                self._array(f"{path}/{name}", item)

    def _attributes(self, path: str, group: Any) -> None:  # noqa: ANN401 - likewise
        texts = {}
        for name in group.attrs:
            if name.rstrip("0123456789") in ATTRIBUTES:
                value = group.attrs[name]
                items = value.tolist() if hasattr(value, "tolist") else value
                texts[name] = [_text(item) for item in items] if isinstance(items, list) else _text(items)
        if texts:
            self.header["attributes"][path] = texts

    def _array(self, path: str, dataset: Any) -> None:  # noqa: ANN401 - likewise
        if dataset.dtype.kind not in "fiub" or dataset.dtype.itemsize > 8:
            return
        self._left -= self._checked_bytes(path, dataset)
        array = dataset[()]
        plain = array.astype(array.dtype.newbyteorder("<"))
        self.header["arrays"].append([path, plain.dtype.str, list(plain.shape)])
        self.data.append(plain.tobytes())

    def _checked_bytes(self, path: str, dataset: Any) -> int:  # noqa: ANN401 - likewise
        """Return the bytes of an array before it is read. Raises Unusable."""
        plist = dataset.id.get_create_plist()
        filters = {plist.get_filter(index)[0] for index in range(plist.get_nfilters())}
        count: int = (dataset.size or 0) * dataset.dtype.itemsize
        if dataset.is_virtual or dataset.external or filters - FILTERS:
            raise Unusable(f"an array in another file or of another filter at {path[:80]!r}")
        if count > dataset.id.get_storage_size() * (MAX_RATIO if filters else 1) or count > self._left:
            raise Unusable(f"an array of {count} bytes at {path[:80]!r}, which the file does not hold")
        return count


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def read(content: bytes) -> bytes:
    """Return the header and the arrays of a file. Raises Unusable, and what h5py raises for a damaged file."""
    import h5py  # noqa: PLC0415 - likewise

    reader = Reader(max_bytes=MEMORY_BYTES // 4 + MEMORY_PER_BYTE // 2 * len(content))
    with h5py.File(io.BytesIO(content), "r") as file:
        reader.walk(file)
    header = json.dumps(reader.header).encode()
    return b"".join([len(header).to_bytes(8, "little"), header, *reader.data])


def _import_everything() -> None:
    """Write and read a small file, so that no module is imported after files cannot be opened any more."""
    import h5py  # noqa: PLC0415 - likewise

    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        file.attrs["name"] = ["a", "b"]
        file.attrs["model_config"] = "text"
        file.create_dataset("a", data=[1.0, 2.0], compression="gzip", shuffle=True)
    read(content.getvalue())
    codecs.lookup("ascii")


def main() -> int:
    """Read standard input, write standard output, and return the exit status."""
    _import_everything()
    content = sys.stdin.buffer.read()
    memory = MEMORY_BYTES + MEMORY_PER_BYTE * len(content)
    for limit, value in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CPU, MAX_SECONDS),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 3),
    ):
        resource.setrlimit(limit, (value, value))
    try:
        result = read(content)
    except Exception as error:  # noqa: BLE001 - whatever the library raises for a damaged file
        reason = str(error) if isinstance(error, Unusable) else f"a damaged HDF5 file ({type(error).__name__}: {error})"
        sys.stdout.write(reason[:300])
        return REFUSED
    sys.stdout.buffer.write(result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
