"""A proxy between the workers and their store: it can delay, cut and hold back what passes.

It reads the protocol only as far as it must: a chunk of requests that holds the digest of the write script is the
commit of steps, and a reply to WAITAOF that counts this server's disk says that all before it is durable.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from service.store.driver.commands import Script

_CHUNK = 262_144
_ON_DISK = b"*2\r\n:1\r\n:"
_COMMIT = Script.read("write").digest.encode()
_LATE_SECONDS = 5.0


@dataclass(slots=True)
class Trouble:
    """What befalls traffic now: seconds of delay half-way through every chunk, and strikes due for the next commits.

    Strikes are `cut command`, `cut reply` and `late command`; `struck` counts them, and delays, as they happen.
    """

    delay: float = 0.0
    late_by: float = 0.0
    due: Counter[str] = field(default_factory=Counter)
    struck: Counter[str] = field(default_factory=Counter)

    def strikes(self, kind: str) -> bool:
        """Whether a strike of that kind is due; counts it as done."""
        due = self.due[kind] > 0
        if due:
            self.due[kind] -= 1
            self.struck[kind] += 1
        return due

    def clear(self) -> None:
        """No more trouble."""
        self.delay, self.due = 0.0, Counter()


@dataclass(slots=True, eq=False)
class Proxy:
    """Listens at `address` (a Unix socket) and forwards to `target`, another one, which may change."""

    address: Path
    target: Path
    on_disk: Callable[[], None] = lambda: None
    trouble: Trouble = field(default_factory=Trouble)
    late: "set[asyncio.Task[None]]" = field(default_factory=set)
    _links: "set[Link]" = field(default_factory=set)
    _server: asyncio.Server | None = None

    async def start(self) -> None:
        """Begin to accept."""
        self._server = await asyncio.start_unix_server(self._accept, self.address)

    async def stop(self) -> None:
        """Close everything."""
        if self._server is not None:
            self._server.close()
        self.drop()

    def drop(self) -> None:
        """Close all connections, with whatever is under way in them, and forget what was held back."""
        for link in list(self._links):
            link.cut()
        for task in list(self.late):
            task.cancel()

    def hold_back(self, chunk: bytes) -> None:
        """Hand a commit to the store when its sender has given up on it."""
        task = asyncio.create_task(self._deliver_late(chunk, self.trouble.late_by))
        self.late.add(task)
        task.add_done_callback(self.late.discard)

    async def _deliver_late(self, chunk: bytes, seconds: float) -> None:
        await asyncio.sleep(seconds)
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(_LATE_SECONDS):
                reader, sink = await asyncio.open_unix_connection(self.target)
                sink.write(chunk)
                await reader.read(_CHUNK)
                sink.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            upstream, sink = await asyncio.open_unix_connection(self.target)
        except OSError:
            writer.transport.abort()
            return
        link = Link(self, writer, sink)
        self._links.add(link)
        pumps = [
            asyncio.create_task(link.pump(reader, link.pass_commands)),
            asyncio.create_task(link.pump(upstream, link.pass_replies)),
        ]
        try:
            # Either end's end is the end of both.
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            link.cut()
            self._links.discard(link)


@dataclass(slots=True, eq=False)
class Link:
    """One connection of a worker, and its counterpart to the store."""

    proxy: Proxy
    worker: asyncio.StreamWriter
    store: asyncio.StreamWriter
    _cut_reply: bool = False
    _tail: bytes = b""

    def cut(self) -> None:
        """End it at once, at both ends."""
        for end in (self.worker, self.store):
            end.transport.abort()

    async def pump(self, source: asyncio.StreamReader, handle: Callable[[bytes], Awaitable[bool]]) -> None:
        """Pass on what comes until the end, or until `handle` ends it."""
        with contextlib.suppress(OSError):
            while chunk := await source.read(_CHUNK):
                if not await handle(chunk):
                    return

    async def pass_commands(self, chunk: bytes) -> bool:
        """Towards the store; False ends the connection."""
        trouble, commits = self.proxy.trouble, _COMMIT in chunk
        if commits and trouble.strikes("cut command"):
            await self._send(self.store, chunk[: len(chunk) // 2])
            self.store.close()  # what was sent arrives, and then the end
            return False
        if commits and trouble.strikes("late command"):
            self.proxy.hold_back(chunk)
            return False
        if commits and trouble.strikes("cut reply"):
            self._cut_reply = True
        await self._send(self.store, chunk)
        return True

    async def pass_replies(self, chunk: bytes) -> bool:
        """Towards the worker."""
        seen = self._tail + chunk
        if _ON_DISK in seen:
            self.proxy.on_disk()
        self._tail = seen[1 - len(_ON_DISK) :]
        if self._cut_reply:
            await self._send(self.worker, chunk[: len(chunk) // 2])
            self.worker.close()
            return False
        await self._send(self.worker, chunk)
        return True

    async def _send(self, sink: asyncio.StreamWriter, chunk: bytes) -> None:
        """Write it; in times of delay, its second half later than its first."""
        if self.proxy.trouble.delay:
            self.proxy.trouble.struck["delay"] += 1
            half = len(chunk) // 2
            sink.write(chunk[:half])
            await asyncio.sleep(self.proxy.trouble.delay)
            chunk = chunk[half:]
        sink.write(chunk)
        await sink.drain()
