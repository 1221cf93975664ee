"""python -m tests.attack.child NAME TARGET: one attack in a process of its own, so that it does not slow the victim.

TARGET is a JSON object with the fields of `Target`. The last line of the output is the tally as JSON.
"""

import asyncio
import contextlib
import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

from tests.attack.attackers.base import Attacker, Prepared, Tally, Target
from tests.attack.attackers.catalog import ATTACKERS

#: An attack that is over may wait this long for the answers to its last requests.
LAST_ANSWERS_SECONDS = 1.0
#: The attacker yields to the victim, which shares a processor with it.
_NICE = 5


async def attack(attacker: Attacker, target: Target) -> Tally:
    """Run an attack for its time and return what it counted."""
    tally = Tally(until=time.monotonic() + target.seconds)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(target.seconds + LAST_ANSWERS_SECONDS):
            await attacker.run(target, tally)
    return tally


def parse_target(fields: dict[str, Any]) -> Target:
    paths = {name: Path(fields[name]) for name in ("models", "state")}
    return Target(**(fields | paths))


def main() -> int:
    """Run the named attack and write its tally."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    attacker = ATTACKERS[sys.argv[1]]
    if isinstance(attacker, Prepared):
        attacker.prepare()
    os.nice(_NICE)
    sys.stdout.write("started\n")
    sys.stdout.flush()
    tally = asyncio.run(attack(attacker, parse_target(json.loads(sys.argv[2]))))
    sys.stdout.write(
        json.dumps({"labels": tally.labels, "failures": tally.failures, "examples": tally.examples}) + "\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
