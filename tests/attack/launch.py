"""Starts attacks in processes of their own."""

import asyncio
import contextlib
import dataclasses
import json
import subprocess
import sys
from dataclasses import dataclass

from tests.attack.attackers.base import Tally, Target
from tests.attack.child import LAST_ANSWERS_SECONDS
from tests.server import ROOT

#: Both are for a machine on which much else runs: the attacker has the lowest priority of all.
_START_SECONDS = 300.0
_END_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Child:
    """A running attack, unless it has not `started`."""

    process: asyncio.subprocess.Process
    seconds: float
    started: bool = True

    async def tally(self) -> Tally:
        """Return what the attack counted when it is over; one that does not end is killed."""
        tally = Tally()
        if not self.started:
            tally.failures["the attacker did not start"] += 1
            return tally
        try:
            async with asyncio.timeout(self.seconds):
                output, _ = await self.process.communicate()
            counted = json.loads(output.splitlines()[-1])
            tally.labels.update(counted["labels"])
            tally.failures.update(counted["failures"])
            tally.examples.update(counted["examples"])
        except TimeoutError:
            tally.failures["the attacker did not end"] += 1
        except (IndexError, ValueError):
            tally.failures["the attacker failed"] += 1
        finally:
            await self.end()
        return tally

    async def end(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
            await self.process.wait()


async def launch(name: str, target: Target) -> Child:
    """Start the named attack in a process of its own, and return once it attacks."""
    command = [sys.executable, "-m", "tests.attack.child", name, json.dumps(dataclasses.asdict(target), default=str)]
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=subprocess.PIPE)
    child = Child(process, target.seconds + LAST_ANSWERS_SECONDS + _END_SECONDS)
    try:
        assert process.stdout is not None
        async with asyncio.timeout(_START_SECONDS):
            await process.stdout.readline()
    except TimeoutError:
        await child.end()
        return dataclasses.replace(child, started=False)
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            await child.end()
        raise
    return child
