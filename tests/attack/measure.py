"""Memory, open files and processes of the service while it is attacked, read from /proc and its log."""

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.attack.service import Service
from tests.attack.wire import Connection, pack

_POLL_SECONDS = 0.1
_LIVENESS_SECONDS = 0.5
_LIVENESS_TIMEOUT = 5.0
MIB = 2**20


@dataclass(slots=True)
class Figures:
    """Figures of an interval: peaks over its samples, and what liveness answered."""

    memory: int = 0
    store_memory: int = 0
    files: int = 0
    fewest_files: int = sys.maxsize
    pids: set[int] = field(default_factory=set)
    killed: bool = False
    liveness: list[float] = field(default_factory=list)
    liveness_failures: int = 0


@dataclass(slots=True, eq=False)
class Sampler:
    """Samples the service until it is cancelled. A worker or a store past `ceiling` bytes is killed.

    The ceiling protects the machine on which the suite runs, which belongs to others as well.
    """

    server: Service
    port: int
    ceiling: int = 3 * 1024 * MIB
    figures: Figures = field(default_factory=Figures)

    def start_interval(self) -> Figures:
        """Begin a new interval with a first sample, and return its figures."""
        self.figures = Figures()
        self.sample()
        return self.figures

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._poll())
            group.create_task(self._probe())

    async def _poll(self) -> None:
        while True:
            self.sample()
            await asyncio.sleep(_POLL_SECONDS)

    def sample(self) -> None:
        """Read memory and open files of all processes once."""
        workers = self.server.worker_pids()
        others = self.server.store_pids()
        figures = self.figures
        figures.pids |= {*workers}
        for pid in [*workers, *others]:
            memory = resident_bytes(pid)
            if memory > self.ceiling:
                figures.killed = True
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if pid in others:
                figures.store_memory = max(figures.store_memory, memory)
            else:
                figures.memory = max(figures.memory, memory)

        files = max(map(open_files, workers), default=0)
        figures.files = max(figures.files, files)
        figures.fewest_files = min(figures.fewest_files, files)

    async def _probe(self) -> None:
        """Ask for liveness on a new connection each time."""
        while True:
            figures, connection, started = self.figures, Connection(self.port), time.monotonic()
            try:
                response = await connection.send(pack("GET", "/health/live"), _LIVENESS_TIMEOUT)
                figures.liveness_failures += response.status != 200
            except (OSError, EOFError, ValueError):
                figures.liveness_failures += 1
            finally:
                connection.close()
            figures.liveness.append(time.monotonic() - started)
            await asyncio.sleep(_LIVENESS_SECONDS)


async def end_tasks(tasks: Sequence["asyncio.Task[None]"]) -> None:
    """Cancel tasks and wait for them. Raises what ended one before."""
    for task in tasks:
        task.cancel()
    for ended in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(ended, Exception):
            raise ended


def resident_bytes(pid: int) -> int:
    """Return the resident memory of a process, 0 if it is gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0


def anonymous_bytes(pid: int) -> int:
    """Return the resident memory that a process has allocated, 0 if it is gone: without the pages of its libraries."""
    try:
        return int(Path(f"/proc/{pid}/status").read_text().partition("RssAnon:")[2].split()[0]) * 1024
    except (OSError, IndexError):
        return 0


def open_files(pid: int) -> int:
    """Return how many file descriptors a process has open, 0 if it is gone."""
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208 - no objects are needed for 10,000 names
    except OSError:
        return 0


def complaints(log: str) -> Iterator[str]:
    """Return the lines of a log that hold an exception that nobody handled, or that the service has not written."""
    for line in log.splitlines():
        if not line.startswith("{") or '"exception"' in line or '"level": "critical"' in line:
            yield line
