"""Commands beside HTTP: pauses and files."""

import asyncio
import os
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

from unroll_client.flow import Command


@dataclass(frozen=True, slots=True)
class Sleep(Command[None]):
    """Pause for some seconds."""

    seconds: float

    def run(self) -> None:
        time.sleep(self.seconds)

    async def run_async(self) -> None:
        await asyncio.sleep(self.seconds)


@dataclass(frozen=True, slots=True)
class WriteFile(Command[None]):
    """Replace a file as a whole: after a crash it has its old or its new content."""

    path: Path
    content: bytes

    def run(self) -> None:
        temporary = self.path.with_name(f"{self.path.name}.{uuid.uuid4().hex}.tmp")
        with temporary.open("wb") as file:
            file.write(self.content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self.path)
        _sync_folder(self.path.parent)

    async def run_async(self) -> None:
        writing = asyncio.ensure_future(asyncio.to_thread(self.run))
        try:
            await asyncio.shield(writing)
        except asyncio.CancelledError:
            # A thread cannot be cancelled, and what it writes must not take the place of what is written later.
            await asyncio.wait([writing])
            raise


def _sync_folder(folder: Path) -> None:
    """Make the new name of a file durable, where folders can be opened."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
