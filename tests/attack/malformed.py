"""A run of malformed input by count: requests of every protocol, session files, model folders and checkpoints.

The kinds take turns, so that the memory of the workers after the first round can be compared with that at the end.
Meanwhile the victim steps its sessions, and the witnesses lie still.
"""

import asyncio
import re
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from tests.attack.attackers.base import Tally
from tests.attack.attackers.served_folders import HOSTILE_PREFIX
from tests.attack.expected import write_scripts
from tests.attack.launch import launch
from tests.attack.measure import MIB, anonymous_bytes, complaints
from tests.attack.report import counts, machine
from tests.attack.run import VICTIM_KEY, Arena, RunOptions, commit, link_models, running_arena
from tests.attack.victim import STREAMS
from tests.attack.witnesses import Witnesses
from tests.server import short_folder

#: The kinds, and the part of all cases that each gets: those that take long get few.
KINDS = {
    "routes": 0.34,
    "bodies": 0.22,
    "heads": 0.18,
    "frames": 0.10,
    "session-files": 0.06,
    "messages": 0.03,
    "http2": 0.02,
    "damaged-files": 0.046,
    "served-folders": 0.004,
}
#: Memory is compared from the end of the first one: a fifth of all cases has filled every cache by then.
ROUNDS = 5
_FLAT_BYTES = 24 * MIB
_VICTIM_PAUSE = 0.2
_SETTLING_SECONDS = 2.0
#: The longest time that removed models stay loaded for sessions that may need them, of which there are none.
_RETIREMENT_SECONDS = 60
_ROUND_SECONDS = 3600.0
#: A hostile case may stall a worker no longer than this, on a machine on which much else runs.
_LIMITS: dict[str, Any] = {"store_max_bytes": 256 * MIB, "watchdog_seconds": 30}


@dataclass(slots=True)
class MalformedReport:
    """What was sent and answered by kind, the memory after each round, and all that is wrong."""

    seed: int
    tallies: dict[str, Tally] = field(default_factory=dict)
    cases: dict[str, int] = field(default_factory=dict)
    memory: list[int] = field(default_factory=list)
    verified: int = 0
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)

    def add(self, kind: str, cases: int, tally: Tally) -> None:
        """Add what one round of a kind counted."""
        total = self.tallies.setdefault(kind, Tally())
        total.labels.update(tally.labels)
        total.failures.update(tally.failures)
        total.examples.update(tally.examples)
        self.cases[kind] = self.cases.get(kind, 0) + cases

    def failures(self) -> list[str]:
        """Return everything that may not be."""
        return [*self.problems, *self._failures_of_kinds(), *self._growth()]

    def _failures_of_kinds(self) -> Iterator[str]:
        for kind, tally in self.tallies.items():
            errors = sum(count for label, count in tally.labels.items() if label.startswith("500"))
            if errors:
                yield f"{kind}: {errors} answers of 500"
            yield from (f"{kind}: {what} ({count} times)" for what, count in tally.failures.items())

    def _growth(self) -> Iterator[str]:
        if len(self.memory) > 1 and self.memory[-1] - self.memory[0] > _FLAT_BYTES:
            yield f"a worker grew by {(self.memory[-1] - self.memory[0]) // MIB} MB behind the first round"

    def lines(self) -> Iterator[str]:
        """Return the report as lines of Markdown."""
        yield f"Commit {commit()}, seed {self.seed}, {self.seconds:.0f} s, {machine()}."
        yield f"{sum(self.cases.values()):,} cases; {self.verified:,} steps of the victim were verified meanwhile."
        yield ""
        yield "| kind | cases | answers |"
        yield "|---|---:|---|"
        yield from (f"| {kind} | {self.cases[kind]:,} | {counts(dict(t.labels))} |" for kind, t in self.tallies.items())
        yield ""
        memory = ", ".join(str(size // MIB) for size in self.memory)
        yield f"Memory that the worker has allocated, after each round, in MB: {memory}"
        yield ""
        yield from (f"- {failure[:400]}" for failure in self.failures())
        for kind, tally in self.tallies.items():
            yield from (f"- {kind}: `{example[:700].replace('`', ' ')}`" for example in tally.examples.values())
        yield f"failures: {len(self.failures())}"


async def run_malformed(
    count: int, seed: int = 1, *, kinds: Sequence[str] = tuple(KINDS), rounds: int = ROUNDS
) -> MalformedReport:
    """Send about `count` cases of these kinds, in rounds, to a service of its own."""
    report, started = MalformedReport(seed), time.monotonic()
    with short_folder() as folder:
        models = link_models(folder)
        options = RunOptions(seed=seed, settings=_LIMITS)
        async with running_arena(folder, models, write_scripts(models, STREAMS), options) as arena:
            arena.victim.pause = _VICTIM_PAUSE
            witnesses = await Witnesses.create(arena.port, VICTIM_KEY)
            workers = set(arena.server.worker_pids())
            for number in range(rounds):
                for kind, cases in _shares(count, kinds, number, rounds):
                    report.add(kind, cases, await _attack(arena, kind, cases, seed * 1000 + number))
                    await arena.delete_sessions()
                if rounds > 1:
                    await _settle(arena)
                report.memory.append(max(map(anonymous_bytes, arena.server.worker_pids()), default=0))
            report.problems += await witnesses.complaints()
            report.problems += [*arena.victim.evidence.violations, *complaints(arena.server.log)]
            if set(arena.server.worker_pids()) != workers:
                report.problems.append("a worker was replaced")
            report.verified = arena.victim.evidence.verified
    report.seconds = time.monotonic() - started
    return report


async def _settle(arena: Arena) -> None:
    """Wait until models whose folders were removed are unloaded, since their memory is no growth."""
    for _ in range(_RETIREMENT_SECONDS):
        loaded, unloaded = (
            set(re.findall(rf'"model version {what}".*"model": "({HOSTILE_PREFIX}[^"]+)"', arena.server.log))
            for what in ("loaded", "unloaded")
        )
        if loaded == unloaded:
            break
        await asyncio.sleep(1.0)
    await asyncio.sleep(_SETTLING_SECONDS)


def _shares(count: int, kinds: Sequence[str], number: int, rounds: int) -> Iterator[tuple[str, int]]:
    """Yield the kinds of a round with their numbers of cases."""
    whole = sum(KINDS[kind] for kind in kinds)
    for kind in kinds:
        ends = [round(count * KINDS[kind] / whole * end / rounds) for end in range(rounds + 1)]
        start, end = list(pairwise(ends))[number]
        if end > start:
            yield kind, end - start


async def _attack(arena: Arena, kind: str, cases: int, seed: int) -> Tally:
    target = arena.target(seconds=_ROUND_SECONDS, seed=seed, count=cases)
    tally = await (await launch(kind, target)).tally()
    sys.stderr.write(f"{kind}: {cases:,} cases, {counts(dict(tally.labels))}\n")
    sys.stderr.writelines(f"  {what} ({count} times)\n" for what, count in tally.failures.items())
    sys.stderr.writelines(f"  {example}\n" for example in tally.examples.values())
    return tally
