"""What the conductor does, kind by kind: to workers, to the store, to what is between them, to clocks and models.

Each function returns once the fault has happened and, where it lasts, is over. It returns False where it did not come
to pass, as when no step came by to be killed in; such a fault is not counted.
"""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from service.types import Durability
from tests.chaos.automaton import write_automaton
from tests.chaos.ports import LEAPS, WALL_JUMPS
from tests.chaos.schedule import Fault
from tests.chaos.service import signal_to
from tests.chaos.world import CLAIM_SECONDS, READY_SECONDS, World, all_up, at_point, losing

#: What the store's own end may lose, by the table of durability; and what the loss of a master may.
_STORE_LOSES: frozenset[Durability] = frozenset({"memory", "replicated"})
_MASTER_LOSES: frozenset[Durability] = frozenset({"memory", "fsynced"})
#: A store that is only killed may still have kept back what it had not handed to its file.
_KILLED_LOSES_SECONDS = 2.0
_LAG_SECONDS = 1.0


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


async def kill_store(world: World, fault: Fault) -> bool:
    async with world.calm:
        with losing(world, _STORE_LOSES, time.monotonic() - _KILLED_LOSES_SECONDS):
            world.store.master.kill()
            await restart_store(world, fault)
    return True


async def roll_back_store(world: World, fault: Fault) -> bool:
    async with world.calm:
        since = world.store.master.lose_power(fault.pick)
        with losing(world, _STORE_LOSES, since):
            await restart_store(world, fault)
    return True


async def restart_store(world: World, fault: Fault) -> None:
    """Start the dead master again after a while, when whatever was under way for it has failed."""
    world.proxy.drop()
    await asyncio.sleep(fault.seconds)
    await world.store.master.start()


async def fail_over(world: World, fault: Fault) -> bool:
    async with world.calm:
        if not await world.store.in_step():
            return False
        with losing(world, _MASTER_LOSES, time.monotonic() - _LAG_SECONDS):
            await world.store.promote()
            # Cut off, the old master goes on for a while: what it takes now, is lost with it.
            await asyncio.sleep(0.4 * fault.seconds)
            world.store.master.kill()
            world.proxy.target = world.store.replica.socket
            world.proxy.drop()
            await world.store.swap()
    return True


async def strike(world: World, fault: Fault, kind: str) -> bool:
    """Let the next commits meet with something on their way."""
    trouble = world.proxy.trouble
    before = trouble.struck
    setattr(trouble, kind, 1 + int(2 * fault.pick))
    for _ in range(int(CLAIM_SECONDS / 0.02)):
        if trouble.struck > before or world.shared.stopping():
            break
        await asyncio.sleep(0.02)
    return trouble.struck > before


async def hold_back(world: World, fault: Fault) -> bool:
    async with world.calm:
        world.proxy.trouble.late_by = 1.0 + fault.seconds
        struck = await strike(world, fault, "late_commands")
        world.proxy.trouble.late_commands = 0
        await asyncio.gather(*world.proxy.late, return_exceptions=True)
        return struck


async def delay(world: World, fault: Fault) -> bool:
    world.proxy.trouble.delay = 0.02 + 0.7 * fault.pick**2
    await asyncio.sleep(fault.seconds)
    world.proxy.trouble.delay = 0.0
    return True


async def fill(world: World, fault: Fault) -> bool:
    async with world.calm:
        master = world.store.master
        await master.command("CONFIG", "SET", "maxmemory", "100000")
        await asyncio.sleep(fault.seconds)
        await master.command("CONFIG", "SET", "maxmemory", "0")
    return True


async def jump(world: World, fault: Fault) -> bool:
    actions = [*WALL_JUMPS, *LEAPS]
    return await at_point(world, "clock", actions[int(fault.pick * len(actions))]) is not None


async def let_expire(world: World, fault: Fault) -> bool:
    """The clients of short-lived sessions pause, and count it themselves."""
    world.shared.naps += 1
    return False


async def swap_model(world: World, fault: Fault) -> bool:
    """Put another network into the place of a served version, and start the workers again one by one."""
    async with world.lives:
        if not await all_up(world):
            return False
        folder = write_automaton(world.models.parent / "variants", str(world.variants), "1", world.variants)
        world.variants += 1
        started, place = time.monotonic(), len(world.risks.swaps)
        world.risks.swaps.append((started, float("inf")))
        point_to(world.models / "swapped" / "1", folder)
        for pid in world.service.pids():
            signal_to(pid, signal.SIGTERM)
            await asyncio.sleep(0.5)
            await world.service.ready(4 * READY_SECONDS)
        world.risks.swaps[place] = (started, time.monotonic())
    return True


def point_to(link: Path, folder: Path) -> None:
    """Make a link point elsewhere, at once."""
    fresh = link.with_name("fresh")
    fresh.symlink_to(folder)
    fresh.replace(link)


def _at(function: Callable[[World, Fault, str], Awaitable[bool]], where: str) -> "Doing":
    async def do(world: World, fault: Fault) -> bool:
        return await function(world, fault, where)

    return do


Doing = Callable[[World, Fault], Awaitable[bool]]
DOING: dict[str, Doing] = {
    "worker killed after the forward pass": _at(kill_at, "forward"),
    "worker killed after the commit": _at(kill_at, "commit"),
    "worker killed at any moment": kill_anywhere,
    "worker stopped after the forward pass": _at(stop_at, "forward"),
    "worker stopped after the commit": _at(stop_at, "commit"),
    "worker stopped at any moment": stop_anywhere,
    "store killed": kill_store,
    "store rolled back": roll_back_store,
    "failover": fail_over,
    "store connection cut in a command": _at(strike, "cut_commands"),
    "store connection cut in a reply": _at(strike, "cut_replies"),
    "store connections delayed": delay,
    "store command late": hold_back,
    "store full": fill,
    "clock jump": jump,
    "expiry during a pause": let_expire,
    "model version swapped": swap_model,
}
