"""Background work on the store: its secret, its settings, the count of its sessions, its memory and persistence."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

from service.domain.errors import UnrollError
from service.domain.sessions import Durability
from service.store.driver.topology import Topology
from service.store.memory_usage import total_usage
from service.store.observer import StoreObserver
from service.store.persistence import weakest_persistence
from service.store.redis_store import RedisStore
from service.store.server_checks import warnings

log = logging.getLogger(__name__)

#: Interval at which live sessions are counted, expired ones removed from the store's index, and its state read.
SESSION_COUNT_SECONDS = 5.0


async def watch_store(
    topology: Topology,
    store: RedisStore,
    count_sessions: Callable[[], Awaitable[None]],
    durability: Durability,
    observer: StoreObserver,
) -> None:
    """Share the secret, check the servers' settings once, and count sessions and memory from time to time."""
    checked, loop = False, asyncio.get_running_loop()
    while True:
        with contextlib.suppress(UnrollError):
            # A store that lost its data gets the secret back, so that the ids of lost sessions are still recognised.
            await store.share_secret()
            if not checked:
                for warning in await warnings(topology, durability):
                    log.warning("store setting", extra={"reason": warning})
                checked = True
        # A master that was replaced may still reply to workers that do not refresh the topology.
        await topology.refresh(loop.time() + SESSION_COUNT_SECONDS)
        await count_sessions()
        usage = await total_usage(topology, loop.time() + SESSION_COUNT_SECONDS)
        if usage is not None:
            observer.store_memory(usage.used, usage.limit)
        persistence = await weakest_persistence(topology, loop.time() + SESSION_COUNT_SECONDS)
        if persistence is not None:
            observer.store_persistence(persistence.append_only, persistence.replicas)
        await asyncio.sleep(SESSION_COUNT_SECONDS)
