"""Signatures of model folders, by which changes of their content are noticed."""

import hashlib
import os
from itertools import islice
from pathlib import Path

#: Files of a folder that are looked at. A scan repeats every few seconds.
MAX_FILES = 1000


def folder_signature(folder: Path) -> str:
    """Return a digest of the names, sizes and modification times of a folder's files, which links lead to."""
    try:
        with os.scandir(folder) as entries:
            files = sorted(_properties(entry) for entry in islice(entries, MAX_FILES))
    except OSError as error:
        return f"unreadable: {error.strerror}"
    return hashlib.blake2b(repr(files).encode(), digest_size=16).hexdigest()


def _properties(entry: os.DirEntry[str]) -> tuple[str, int, int]:
    """Return name, size and modification time of a file; of a link that leads nowhere, those of the link."""
    try:
        status = entry.stat()
    except OSError:
        status = entry.stat(follow_symlinks=False)
    return entry.name, status.st_size, status.st_mtime_ns
