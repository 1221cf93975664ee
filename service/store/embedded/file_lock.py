"""File locks, released by the operating system when their holder ends for any reason."""

import fcntl
import os
from pathlib import Path
from typing import Self


class FileLock:
    """Exclusive lock on a file that contains the pid of its holder."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None

    def acquire(self) -> bool:
        """Acquire the lock; return False while another process holds it. Child processes do not inherit the file."""
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
        """Return the descriptor of the open file. A process that inherits it holds the lock too."""
        assert self._file is not None, "the lock is not held"  # noqa: S101 - for the type checker
        return self._file

    def holder(self) -> str:
        """Return the pid of the process that acquired the lock last."""
        return self._path.read_text() or "unknown"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.release()

    def release(self) -> None:
        """Close the file, if it is open. A child process that inherited it keeps the lock."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def make_private(folder: Path) -> Path:
    """Create the folder with access for its owner only, unless it exists; return it without symbolic links."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder.resolve()
