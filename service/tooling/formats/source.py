"""An open file whose format is recognised by its content."""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from service.domain.errors import ModelFolderError
from service.domain.files import file_size, open_file, unreadable
from service.tooling.formats.archive import Archive

#: The weights of a checkpoint: those of the last step, or their moving average.
Weights = Literal["plain", "ema"]
EXPECTED = "a file with a trained network"
#: Bytes at the start of a file by which formats are recognised.
HEAD_BYTES = 4096
ZIP = b"PK\x03\x04"


@dataclass(frozen=True, slots=True)
class Source:
    """An open file: its size, its first bytes, and its members if it is a zip file.

    `weights` says which are read where a training keeps the average of its weights beside them.
    """

    path: Path
    file: BinaryIO
    size: int
    head: bytes
    archive: Archive | None
    weights: Weights = "plain"

    def rewound(self) -> BinaryIO:
        """Return the file, at its start."""
        self.file.seek(0)
        return self.file

    def error(self, found: str, expected: str) -> ModelFolderError:
        """Return the error that the file holds something else than `expected`."""
        return ModelFolderError(f"{self.path}: found {found}, expected {expected}")


@contextmanager
def open_source(path: Path, weights: Weights = "plain") -> Iterator[Source]:
    """Open a file and read its first bytes. Raises ModelFolderError."""
    with open_file(path, EXPECTED) as file:
        try:
            head = file.read(HEAD_BYTES)
        except OSError as error:
            raise unreadable(path, error, EXPECTED) from error
        archive = _open_archive(path, file) if head.startswith(ZIP) else None
        file.seek(0)
        yield Source(path, file, file_size(file), head, archive, weights)


def _open_archive(path: Path, file: BinaryIO) -> Archive | None:
    """Return the members of a zip file, or None for a damaged one."""
    try:
        return Archive(path, zipfile.ZipFile(file), file_size(file))
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError, LookupError):
        return None
