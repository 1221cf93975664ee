"""The store killed, rolled back, failed over and filled up, within what its levels of durability survive."""

import asyncio
import time

from service.domain.sessions import Durability
from tests.chaos.schedule import Fault
from tests.chaos.world import World, losing

#: What the store's own end may lose, by the table of durability; and what the loss of a master may.
_STORE_LOSES: frozenset[Durability] = frozenset({"memory", "replicated"})
_MASTER_LOSES: frozenset[Durability] = frozenset({"memory", "fsynced"})
#: A store that is only killed may still have kept back what it had not handed to its file, for two seconds and a bit.
_KILLED_LOSES_SECONDS = 3.0


async def kill_store(world: World, fault: Fault) -> bool:
    async with world.calm:
        with losing(world, _STORE_LOSES, time.monotonic() - _KILLED_LOSES_SECONDS):
            world.store.master.kill()
            await _restart(world, fault)
    return True


async def roll_back_store(world: World, fault: Fault) -> bool:
    async with world.calm:
        since, lost = world.store.master.lose_power(fault.pick)
        with losing(world, _STORE_LOSES, since):
            await _restart(world, fault)
    return lost > 0


async def _restart(world: World, fault: Fault) -> None:
    """Start the dead master again after a while, when whatever was under way for it has failed."""
    world.proxy.drop()
    await asyncio.sleep(fault.seconds)
    await world.store.master.start()


async def fail_over(world: World, fault: Fault) -> bool:
    async with world.calm:
        since = await world.store.in_step()
        if since is None:
            return False
        with losing(world, _MASTER_LOSES, since):
            await world.store.promote()
            # Cut off, the old master goes on for a while: what it takes now, is lost with it.
            await asyncio.sleep(0.4 * fault.seconds)
            world.store.master.kill()
            world.proxy.target = world.store.replica.socket
            world.proxy.drop()
            await world.store.swap()
    return True


async def fill(world: World, fault: Fault) -> bool:
    async with world.calm:
        master = world.store.master
        before = await master.refusals()
        await master.command("CONFIG", "SET", "maxmemory", "100000")
        await asyncio.sleep(fault.seconds)
        await master.command("CONFIG", "SET", "maxmemory", "0")
        return await master.refusals() > before
