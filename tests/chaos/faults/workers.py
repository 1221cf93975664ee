"""Workers killed and stopped, at points of a step's life and at any moment; clocks that jump; models swapped."""

import asyncio
import signal
import time
from pathlib import Path

from tests.chaos.automaton import write_automaton
from tests.chaos.ports import LEAPS, WALL_JUMPS
from tests.chaos.schedule import Fault
from tests.chaos.service import signal_to
from tests.chaos.world import READY_SECONDS, World, all_up, at_point


async def kill_at(world: World, fault: Fault, point: str) -> bool:
    async with world.lives:
        return await all_up(world) and await at_point(world, point, "SIGKILL") is not None


async def kill_anywhere(world: World, fault: Fault) -> bool:
    async with world.lives:
        if not await all_up(world):
            return False
        pids = world.service.pids()
        return signal_to(pids[int(fault.pick * len(pids))], signal.SIGKILL)


async def stop_at(world: World, fault: Fault, point: str) -> bool:
    async with world.calm:
        pid = await at_point(world, point, "SIGSTOP")
        await asyncio.sleep(fault.seconds if pid else 0)
        return pid is not None and signal_to(pid, signal.SIGCONT)


async def stop_anywhere(world: World, fault: Fault) -> bool:
    async with world.calm:
        pids = world.service.pids()
        if not pids:
            return False
        pid = pids[int(fault.pick * len(pids))]
        stopped = signal_to(pid, signal.SIGSTOP)
        await asyncio.sleep(fault.seconds)
        return signal_to(pid, signal.SIGCONT) and stopped


async def jump(world: World, fault: Fault) -> bool:
    actions = [*WALL_JUMPS, *LEAPS]
    return await at_point(world, "clock", actions[int(fault.pick * len(actions))]) is not None


async def swap_model(world: World, fault: Fault) -> bool:
    """Put another network into the place of a served version, and have the workers serve it."""
    async with world.lives:
        if not await all_up(world):
            return False
        started, place = time.monotonic(), len(world.risks.swaps)
        world.risks.swaps.append((started, float("inf")))
        variants = world.models.parent / "variants"
        put_in_place(world.models, write_automaton(variants, str(world.variants), variant=world.variants))
        world.variants += 1
        await _take_up(world)
        world.risks.swaps[place] = (started, time.monotonic())
    return True


async def _take_up(world: World) -> None:
    """Have the workers drained, one by one: from then on nobody serves what was there before.

    Each would notice by itself, but none tells when. The supervisor replaces a worker as soon as it goes.
    """
    for pid in world.service.pids():
        signal_to(pid, signal.SIGTERM)
        for _ in range(100):
            await asyncio.sleep(0.1)
            if pid not in world.service.pids():
                break
        await world.service.ready(4 * READY_SECONDS)


def put_in_place(models: Path, folder: Path) -> None:
    """Make this folder the version of `swapped` that is served, at once."""
    link = models / "swapped" / "1"
    fresh = link.with_name("fresh")
    fresh.symlink_to(folder)
    fresh.replace(link)
