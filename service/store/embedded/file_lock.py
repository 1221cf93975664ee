"""Locks on folders: held by an open file, so that they end with their holder, however it ends."""

import fcntl
import os
from pathlib import Path
from typing import Self


class FileLock:
    """An exclusive lock on a file, which tells the pid of its holder to those who come too late."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None

    def acquire(self) -> bool:
        """Take the lock; False while another holds it. The file stays closed to child processes."""
        if self._file is not None:
            return True
        file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            return False
        os.ftruncate(file, 0)
        os.pwrite(file, str(os.getpid()).encode(), 0)
        self._file = file
        return True

    def fileno(self) -> int:
        """The open file; a process that inherits it holds the lock too."""
        assert self._file is not None, "the lock is not held"  # noqa: S101 - for the type checker
        return self._file

    def holder(self) -> str:
        """The pid of whoever took the lock last."""
        return self._path.read_text() or "unknown"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.release()

    def release(self) -> None:
        """Close the file, once or more. Where a child process inherited it, the lock is the child's alone now."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def make_private(folder: Path) -> Path:
    """Make the folder, for its owner alone, where it does not exist; returns it without symbolic links."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder.resolve()
