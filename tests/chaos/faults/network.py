"""What befalls commands and replies between workers and store."""

import asyncio

from tests.chaos.schedule import Fault
from tests.chaos.world import CLAIM_SECONDS, World


async def strike(world: World, fault: Fault, kind: str) -> bool:
    """Let the next commits meet with something on their way."""
    trouble = world.proxy.trouble
    before = trouble.struck[kind]
    trouble.due[kind] = 1 + int(2 * fault.pick)
    for _ in range(int(CLAIM_SECONDS / 0.02)):
        if trouble.struck[kind] > before or world.shared.stopping():
            break
        await asyncio.sleep(0.02)
    return trouble.struck[kind] > before


async def hold_back(world: World, fault: Fault) -> bool:
    async with world.calm:
        world.proxy.trouble.late_by = 1.0 + fault.seconds
        struck = await strike(world, fault, "late command")
        world.proxy.trouble.due["late command"] = 0
        await asyncio.gather(*world.proxy.late, return_exceptions=True)
        return struck


async def delay(world: World, fault: Fault) -> bool:
    trouble = world.proxy.trouble
    before = trouble.struck["delay"]
    trouble.delay = 0.02 + 0.7 * fault.pick**2
    await asyncio.sleep(fault.seconds)
    trouble.delay = 0.0
    return trouble.struck["delay"] > before
