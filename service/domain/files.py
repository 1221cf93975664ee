"""Bounded reading of files that others wrote: regular files only, and never more bytes than expected.

Links are followed, since volumes of Kubernetes and caches of model hubs consist of links, but their target must be a
regular file. A named pipe or a device would block its reader, or never end.
"""

import errno
import os
import stat
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from service.domain.errors import ModelFolderError

_KINDS = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def open_file(path: Path, expected: str) -> BinaryIO:
    """Open a regular file for reading. Raises ModelFolderError, which names the path and what was `expected`."""
    try:
        # Opening a device can have effects of its own, and the path can change before it is opened: two checks.
        _require_regular(path, path.stat(), expected)
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            _require_regular(path, os.fstat(descriptor), expected)
        except BaseException:
            os.close(descriptor)
            raise
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        raise unreadable(path, error, expected) from error
    return os.fdopen(descriptor, "rb")


def read_file(path: Path, max_bytes: int, expected: str) -> bytes:
    """Return the bytes of a regular file.

    Raises ModelFolderError for anything else, for more than `max_bytes`, and for a file that changes while it is read.
    """
    with open_file(path, expected) as file:
        size = file_size(file)
        if size > max_bytes:
            raise ModelFolderError(f"{path}: found {size} bytes, expected at most {max_bytes} ({expected})")
        try:
            content = file.read(size + 1)
        except OSError as error:
            raise unreadable(path, error, expected) from error
    if len(content) != size:
        raise changed(path)
    return content


def file_size(file: BinaryIO) -> int:
    """Return the number of bytes of an open file."""
    return os.fstat(file.fileno()).st_size


def entry_names(folder: Path, limit: int = 10_000) -> set[str]:
    """Return the names of a folder's entries, of a larger folder `limit` of them. Raises ModelFolderError."""
    try:
        return {entry.name for entry in islice(folder.iterdir(), limit)}
    except OSError as error:
        raise unreadable(folder, error, "a folder") from error


def changed(path: Path) -> ModelFolderError:
    """Return the error of a file whose size is another than when it was opened."""
    return ModelFolderError(f"{path}: found a file that changes while it is read, expected a complete one")


def unreadable(path: Path, error: Exception, expected: str) -> ModelFolderError:
    """Return the error of a file that cannot be opened or read."""
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return ModelFolderError(f"{path}: cannot be read: {reason}; expected {expected}")


def _require_regular(path: Path, status: os.stat_result, expected: str) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    for is_kind, kind in _KINDS:
        if is_kind(status.st_mode):
            raise ModelFolderError(f"{path}: found {kind}, expected a regular file: {expected}")


def sync(path: Path) -> None:
    """Flush a file or folder to disk, so that a rename cannot survive a power failure that its content does not."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
