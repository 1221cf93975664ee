"""How the conductor reaches into workers: files in a folder, each claimed by exactly one worker.

The conductor arms `forward.SIGKILL`; the first worker that comes by the point `forward` renames the file to
`fired.<time>.<pid>.forward.SIGKILL`, which nobody else can then, and sends itself the signal. Plain files, because a
worker that dies in the next instruction can still be seen to have done it.
"""

import contextlib
import os
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Control:
    """The folder, as both sides use it."""

    folder: Path

    def arm(self, point: str, action: str) -> Path:
        """Let the next worker that comes by `point` do `action`."""
        path = self.folder / f"{point}.{action}"
        path.touch()
        return path

    def disarm(self, point: str, action: str) -> None:
        """Take it back, if no worker came by."""
        (self.folder / f"{point}.{action}").unlink(missing_ok=True)

    def claim(self, point: str, action: str) -> bool:
        """Whether this worker is the one to do it."""
        path = self.folder / f"{point}.{action}"
        if not path.exists():
            return False
        with contextlib.suppress(FileNotFoundError):
            path.rename(self.folder / f"fired.{time.monotonic_ns()}.{os.getpid()}.{point}.{action}")
            return True
        return False

    def claimed(self, point: str, action: str) -> int | None:
        """The process that did it last, and forget it; None where none did."""
        for path in sorted(self.folder.glob(f"fired.*.{point}.{action}")):
            path.unlink()
            return int(path.name.split(".")[2])
        return None
