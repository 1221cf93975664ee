"""HDF5 files: their arrays and attributes, read by a process of its own."""

import importlib.util
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from service.domain.errors import ModelFolderError
from service.tooling.formats.keras import hdf5_process
from service.tooling.formats.values.arrays import Array, dtype_of, shaped
from service.tooling.pickles.values import PickleError

MAGIC = b"\x89HDF\r\n\x1a\n"
SCRIPT = Path(hdf5_process.__file__)
#: Time in seconds that reading may take by the clock.
MAX_SECONDS = 2 * hdf5_process.MAX_SECONDS


@dataclass(frozen=True, slots=True)
class Hdf5Content:
    """Arrays of an HDF5 file by their path, and attributes (texts or lists of them) by the path of their group."""

    arrays: dict[str, Array]
    attributes: dict[str, dict[str, str | list[str]]]

    def texts(self, path: str, name: str) -> list[str]:
        """Return an attribute as a list, also one that is split into parts with numbers behind the name."""
        found = self.attributes.get(path, {})
        parts = [found[key] for key in sorted(found, key=len) if key.rstrip("0123456789") == name]
        return [text for part in parts for text in (part if isinstance(part, list) else [part])]


def read_hdf5(path: Path, content: bytes) -> Hdf5Content:
    """Return the arrays and attributes of an HDF5 file. Raises ModelFolderError."""
    if importlib.util.find_spec("h5py") is None:
        raise ModelFolderError(
            f"{path}: found a Keras file, expected the library h5py to read it with: pip install 'unroll[keras]'"
        )
    try:
        done = subprocess.run(
            [sys.executable, "-I", str(SCRIPT)],
            input=content,
            capture_output=True,
            timeout=MAX_SECONDS,
            env={"HDF5_PLUGIN_PRELOAD": "::"},  # no library is loaded for a filter
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ModelFolderError(
            f"{path}: found an HDF5 file that takes long to read, expected weights of Keras"
        ) from error
    if done.returncode:
        reason = done.stdout.decode("utf-8", "replace") if done.returncode == hdf5_process.REFUSED else ""
        found = " ".join(reason.split())[:300] or "an HDF5 file that its library cannot read"
        raise ModelFolderError(f"{path}: found {found}, expected weights as Keras writes them")
    return _parsed(path, done.stdout)


def _parsed(path: Path, output: bytes) -> Hdf5Content:
    size = int.from_bytes(output[:8], "little")
    header, position = json.loads(output[8 : 8 + size]), 8 + size
    arrays: dict[str, Array] = {}
    for name, text, shape in header["arrays"]:
        count = int(np.prod(shape, dtype=object)) * np.dtype(text).itemsize
        try:
            arrays[name] = shaped(output[position : position + count], dtype_of(text), tuple(shape), "C")
        except PickleError as error:
            raise ModelFolderError(f"{path}: {name[:80]}: found {error}, expected weights of Keras") from error
        position += count
    return Hdf5Content(arrays, header["attributes"])
