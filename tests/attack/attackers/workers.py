"""A worker that hangs: stopped by a signal, as one that is caught in an endless loop."""

import contextlib
import os
import signal
from dataclasses import dataclass

from tests.attack.attackers.base import Tally, Target


@dataclass(frozen=True)
class StoppedWorker:
    """SIGSTOP for all workers, and SIGCONT at the end of the attack for those that are still there."""

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
                    tally.labels["continued by the attacker"] += 1
