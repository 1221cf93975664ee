"""Everything of a run that can be broken, and what the kinds of faults have in common."""

import asyncio
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from service.domain.sessions import Durability
from tests.chaos.driver import Shared
from tests.chaos.pair import Pair
from tests.chaos.proxy import Proxy
from tests.chaos.replicas import Replicas
from tests.chaos.risks import Risks, Window
from tests.chaos.service import Service, signal_to

#: How long a fault waits for a step to strike, and for a full set of workers.
CLAIM_SECONDS = 10.0
READY_SECONDS = 30.0


@dataclass(slots=True, eq=False)
class World:
    """Everything that can be broken.

    Whoever rolls the store back holds `calm`: no worker sleeps meanwhile. Whoever ends a worker holds `lives`: no other
    one is ended until all are up again, and where that takes too long, the fault does not happen.
    """

    service: Service | Replicas
    store: Pair
    proxy: Proxy
    models: Path
    shared: Shared
    risks: Risks = field(default_factory=Risks)
    counts: Counter[str] = field(default_factory=Counter)
    hostile: Counter[str] = field(default_factory=Counter)
    variants: int = 1
    calm: asyncio.Lock = field(default_factory=asyncio.Lock)
    lives: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def heal(self) -> None:
        """End what may still be going on."""
        self.proxy.trouble.clear()
        for pid in self.service.pids():
            signal_to(pid, signal.SIGCONT)
        await self.store.master.command("CONFIG", "SET", "maxmemory", "0")


@contextmanager
def losing(world: World, levels: frozenset[Durability], since: float) -> Iterator[None]:
    """While the block runs, what was acknowledged since may get lost."""
    world.risks.rollbacks.append(Window(since, float("inf"), levels))
    place = len(world.risks.rollbacks) - 1
    try:
        yield
    finally:
        world.risks.rollbacks[place] = Window(since, time.monotonic(), levels)


async def all_up(world: World) -> bool:
    """Whether there is a full set of workers to choose from, before the run is over."""
    return not world.shared.stopping() and await world.service.ready(READY_SECONDS)


async def at_point(world: World, point: str, action: str) -> int | None:
    """Have a worker do something to itself when it comes by; returns which one did."""
    control = world.service.control
    control.arm(point, action)
    deadline = time.monotonic() + CLAIM_SECONDS
    while time.monotonic() < deadline and not world.shared.stopping():
        pid = control.claimed(point, action)
        if pid is not None:
            return pid
        await asyncio.sleep(0.02)
    control.disarm(point, action)
    return control.claimed(point, action)
