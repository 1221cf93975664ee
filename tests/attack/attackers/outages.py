"""Parts of the service that hang or end: what the supervisor has to notice and mend."""

import asyncio
import contextlib
import os
import signal
from dataclasses import dataclass
from pathlib import Path

from tests.attack.attackers.base import Tally, Target


@dataclass(frozen=True)
class StoppedWorkers:
    """SIGSTOP for all workers, as if they were caught in an endless loop. SIGCONT comes when the attack is over."""

    name: str = "stopped-worker"
    family: str = "hang"

    async def run(self, target: Target, tally: Tally) -> None:
        try:
            for pid in target.workers:
                os.kill(pid, signal.SIGSTOP)
                tally.labels["stopped"] += 1
            await tally.wait()
        finally:
            for pid in target.workers:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
                    tally.failures["still there after the attack"] += 1


@dataclass(frozen=True)
class KilledStore:
    """SIGKILL for the private store, as the kernel does when memory runs out."""

    name: str = "killed-store"
    family: str = "outage"

    async def run(self, target: Target, tally: Tally) -> None:
        for pid in target.store:
            os.kill(pid, signal.SIGKILL)
            tally.labels["killed"] += 1
        await tally.wait()


@dataclass(frozen=True)
class RemovedSocket:
    """The socket file of the private store disappears, as by a cleaner of temporary files."""

    name: str = "removed-socket"
    family: str = "outage"

    async def run(self, target: Target, tally: Tally) -> None:
        await asyncio.to_thread(_remove_socket, target.state)
        tally.labels["removed"] += 1
        for pid in target.workers:
            # Connections that are open would hide it: a new worker has to find the store.
            os.kill(pid, signal.SIGKILL)
        await tally.wait()


def _remove_socket(state: Path) -> None:
    Path((state / "socket").read_text("utf-8")).unlink()
