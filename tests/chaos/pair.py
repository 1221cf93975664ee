"""The suite's own store: two servers, one the other's replica, which change places in a failover."""

import asyncio
import contextlib
import time
from dataclasses import dataclass, field
from pathlib import Path

from redis.exceptions import RedisError

from tests.chaos.node import Node

_SAMPLE_SECONDS = 0.1


@dataclass(slots=True, eq=False)
class Pair:
    """The master and its replica, which change places."""

    folder: Path
    master: Node = field(init=False)
    replica: Node = field(init=False)

    def __post_init__(self) -> None:
        self.master, self.replica = Node(self.folder / "one"), Node(self.folder / "two")

    async def start(self) -> None:
        """Start both; returns when the replica is in step."""
        await self.master.start()
        await self.replica.start(self.master)
        await self.in_step()

    async def in_step(self, seconds: float = 30.0) -> float | None:
        """Wait until the replica has all that the master had when this was called.

        Returns that moment; None where it does not come in time.
        """
        started = time.monotonic()
        offset: int | None = None
        while time.monotonic() < started + seconds:
            with contextlib.suppress(RedisError, OSError):
                if offset is None:
                    offset = int((await self.master.command("ROLE"))[1])
                role = await self.replica.command("ROLE")
                if role[0] == b"slave" and role[3] == b"connected" and int(role[4]) >= offset:
                    return started
            await asyncio.sleep(0.05)
        return None

    async def promote(self) -> None:
        """Make the replica a master of its own, cut off from the old one, which goes on until it is killed."""
        await self.replica.command("REPLICAOF", "NO", "ONE")

    async def swap(self) -> None:
        """Kill the old master and start it again as the replica of the new one."""
        self.master.kill()
        self.master, self.replica = self.replica, self.master
        await self.replica.start(self.master)

    def on_disk(self) -> None:
        """The master has told that all it was sent is on its disk."""
        self.master.on_disk()

    async def sample_forever(self) -> None:
        """Keep track of the files' lengths."""
        while True:
            self.master.sample()
            self.replica.sample()
            await asyncio.sleep(_SAMPLE_SECONDS)

    def stop(self) -> None:
        """Kill both."""
        self.master.kill()
        self.replica.kill()
