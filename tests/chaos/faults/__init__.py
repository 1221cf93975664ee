"""What the conductor does, kind by kind.

Each function returns once the fault has happened and, where it lasts, is over. It returns False where it did not come
to pass, as when no step came by to be killed in; such a fault is tried again and counted only when it happens.
"""

from collections.abc import Awaitable, Callable

from tests.chaos.faults import network, stores, workers
from tests.chaos.schedule import Fault
from tests.chaos.world import World

Doing = Callable[[World, Fault], Awaitable[bool]]


def _at(function: Callable[[World, Fault, str], Awaitable[bool]], where: str) -> Doing:
    async def do(world: World, fault: Fault) -> bool:
        return await function(world, fault, where)

    return do


DOING: dict[str, Doing] = {
    "worker killed after the forward pass": _at(workers.kill_at, "forward"),
    "worker killed after the commit": _at(workers.kill_at, "commit"),
    "worker killed at any moment": workers.kill_anywhere,
    "worker stopped after the forward pass": _at(workers.stop_at, "forward"),
    "worker stopped after the commit": _at(workers.stop_at, "commit"),
    "worker stopped at any moment": workers.stop_anywhere,
    "store killed": stores.kill_store,
    "store rolled back": stores.roll_back_store,
    "failover": stores.fail_over,
    "store connection cut in a command": _at(network.strike, "cut command"),
    "store connection cut in a reply": _at(network.strike, "cut reply"),
    "store connections delayed": network.delay,
    "store command late": network.hold_back,
    "store full": stores.fill,
    "clock jump": workers.jump,
    "model version swapped": workers.swap_model,
}
