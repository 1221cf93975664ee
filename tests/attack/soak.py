"""A soak: verified sessions at half of the peak rate, while memory and open files must stay flat."""

import asyncio
import contextlib
import gc
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import redis

from tests.attack.expected import write_scripts
from tests.attack.judge import Phase
from tests.attack.measure import MIB, complaints
from tests.attack.run import Arena, RunOptions, link_models, running_arena
from tests.server import short_folder

STREAMS = 48
_PEAK_SECONDS = 10.0
_INTERVAL_SECONDS = 15.0
#: Caches fill and the allocator finds its size in the first minutes.
_SETTLING_SECONDS = 300.0
_FLAT_FILES = 8
#: What a process may grow after that, as a fraction and in bytes.
_FLAT_FRACTION = 0.05
_FLAT_BYTES = MIB
#: What the store may take for the tombstone of an ended session, which stays for 24 hours.
_TOMBSTONE_BYTES = 300


@dataclass(frozen=True, slots=True)
class Interval:
    """Figures of one interval of the soak; `at` is in seconds since its start.

    `store_memory` is what the store has allocated for `keys` keys. All but a few of them are tombstones: the number of
    live sessions does not change. `files` are the fewest open files: connections come and go, and what leaks stays.
    """

    at: float
    phase: Phase
    memory: int
    store_memory: int
    keys: int
    files: int

    def line(self) -> str:
        """Return the figures as a line of the report."""
        median, worst = self.phase.median * 1e3, self.phase.worst * 1e3
        return (
            f"{self.at:6.0f} s {self.phase.goodput:7.1f} steps/s p50 {median:6.1f} ms worst {worst:6.0f} ms "
            f"{self.memory / MIB:8.1f} MB, the store {self.store_memory / MIB:6.2f} MB with {self.keys:,} keys, "
            f"{self.files} files"
        )


async def soak(minutes: float, workers: int = 1) -> int:
    """Run for so many minutes and print the figures; returns 1 if something grew, broke or was wrong."""
    with short_folder() as folder:
        models = link_models(folder)
        scripts = write_scripts(models, STREAMS)
        async with running_arena(folder, models, scripts, RunOptions(workers=workers)) as arena:
            peak = await _peak(arena)
            _print(f"peak {peak:.0f} steps/s; now half of it for {minutes:g} minutes")
            intervals = await _intervals(arena, peak / 2, 60 * minutes)
            evidence, log = arena.victim.evidence, arena.server.log
    problems = [*evidence.violations, *complaints(log), *growth(intervals)]
    for problem in problems:
        _print(f"problem: {problem}")
    _print(f"{evidence.verified:,} steps verified, refusals {dict(evidence.refusals)}, problems: {len(problems)}")
    return 1 if problems else 0


def growth(intervals: Sequence[Interval]) -> Iterator[str]:
    """Return what grew from the end of the settling time to the end of the soak."""
    settled = [interval for interval in intervals if interval.at >= min(_SETTLING_SECONDS, intervals[-1].at / 2)]
    tenth = max(1, len(settled) // 10)
    first, last = settled[:tenth], settled[-tenth:]

    def grown(read: Callable[[Interval], int], allowed: float) -> int:
        before, after = max(map(read, first)), max(map(read, last))
        return after - before if after - before > allowed else 0

    memory = max(interval.memory for interval in first)
    if more := grown(lambda interval: interval.memory, max(_FLAT_BYTES, _FLAT_FRACTION * memory)):
        yield f"bytes of a worker grew by {more:,}"
    store, keys = max(interval.store_memory for interval in first), grown(lambda interval: interval.keys, 0)
    tombstones = keys * _TOMBSTONE_BYTES
    if more := grown(lambda interval: interval.store_memory, tombstones + max(_FLAT_BYTES, _FLAT_FRACTION * store)):
        yield f"bytes of the store grew by {more:,} with {keys:,} more keys"
    if more := grown(lambda interval: interval.files, _FLAT_FILES):
        yield f"open files grew by {more:,}"


async def _peak(arena: Arena) -> float:
    """Return the steps per second without pauses."""
    arena.victim.pause = 0.0
    await asyncio.sleep(2.0)
    phase = await _measure(arena, _PEAK_SECONDS)
    return phase.goodput


async def _intervals(arena: Arena, rate: float, seconds: float) -> list[Interval]:
    """Keep the rate for so long, by pauses that follow the latency, and measure each interval."""
    intervals, started = list[Interval](), time.monotonic()
    arena.victim.pause = STREAMS / rate
    while time.monotonic() - started < seconds:
        figures = arena.sampler.start_interval()
        phase = await _measure(arena, min(_INTERVAL_SECONDS, seconds))
        arena.victim.pause = max(0.0, STREAMS / rate - sum(phase.latencies) / len(phase.latencies))
        at, (store_memory, keys) = time.monotonic() - started, await asyncio.to_thread(_store, arena)
        intervals.append(Interval(at, phase, figures.memory, store_memory, keys, figures.fewest_files))
        _print(intervals[-1].line())
    return intervals


def _store(arena: Arena) -> tuple[int, int]:
    """Return the bytes that the store has allocated, and its number of keys."""
    with redis.Redis(unix_socket_path=str(arena.server.state_dir / "store.sock")) as store:
        return store.info("memory")["used_memory"], store.dbsize()


async def _measure(arena: Arena, seconds: float) -> Phase:
    gc.collect()  # grpcio keeps the connections of closed channels until they are collected
    samples, since = arena.victim.evidence.samples, time.monotonic()
    samples.clear()
    await asyncio.sleep(seconds)
    return Phase(time.monotonic() - since, list(samples))


def _print(line: str) -> None:
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
