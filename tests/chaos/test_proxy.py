"""The proxy between workers and store."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path

from service.store.driver.commands import Script
from tests.chaos.proxy import Proxy
from tests.server import short_folder

COMMIT = b"EVALSHA " + Script.read("write").digest.encode() + b" the rest"


class Upstream:
    """A store that keeps what it is sent and answers each chunk alike."""

    def __init__(self, *answer: bytes) -> None:
        self.answer, self.got = answer, b""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(65536):
                self.got += chunk
                for part in self.answer:
                    writer.write(part)
                    await writer.drain()
                    await asyncio.sleep(0.02)
        writer.transport.abort()


def through(upstream: Upstream, use: Callable[[Proxy, Path], Awaitable[None]]) -> None:
    async def run(folder: Path) -> None:
        server = await asyncio.start_unix_server(upstream.serve, folder / "store")
        proxy = Proxy(folder / "proxy", folder / "store")
        await proxy.start()
        await use(proxy, folder / "proxy")
        await proxy.stop()
        server.close()
        # Both sides see the end of every connection before the loop ends.
        await asyncio.wait(asyncio.all_tasks() - {asyncio.current_task()} or {asyncio.create_task(asyncio.sleep(0))})
        await asyncio.sleep(0)

    with short_folder() as folder:
        asyncio.run(run(folder))


async def ask(path: Path, content: bytes) -> bytes:
    """Send, and read until the other end closes or has said enough."""
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(content)
    try:
        return await asyncio.wait_for(reader.read(65536), 5)
    finally:
        writer.close()


def test_what_nobody_troubles_passes() -> None:
    upstream = Upstream(b"+OK\r\n")

    async def use(proxy: Proxy, path: Path) -> None:
        assert await ask(path, COMMIT) == b"+OK\r\n"

    through(upstream, use)
    assert upstream.got == COMMIT


def test_a_commit_is_cut_in_half_and_only_a_commit() -> None:
    upstream = Upstream(b"+OK\r\n")

    async def use(proxy: Proxy, path: Path) -> None:
        proxy.trouble.due["cut command"] = 1
        assert await ask(path, b"GET x") == b"+OK\r\n"
        upstream.got = b""
        await ask(path, COMMIT)
        assert (proxy.trouble.struck["cut command"], proxy.trouble.due["cut command"]) == (1, 0)

    through(upstream, use)
    assert upstream.got == COMMIT[: len(COMMIT) // 2]


def test_a_late_commit_arrives_after_its_sender_was_cut_off() -> None:
    upstream = Upstream(b"+OK\r\n")

    async def use(proxy: Proxy, path: Path) -> None:
        proxy.trouble.due["late command"], proxy.trouble.late_by = 1, 0.1
        assert await ask(path, COMMIT) == b""
        assert upstream.got == b""
        await asyncio.gather(*proxy.late)
        assert upstream.got == COMMIT

    through(upstream, use)


def test_the_disk_is_heard_of_even_where_its_reply_comes_in_pieces() -> None:
    heard: list[int] = []

    async def use(proxy: Proxy, path: Path) -> None:
        proxy.on_disk = lambda: heard.append(1)
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b"WAITAOF 1 0 0")
        assert await asyncio.wait_for(reader.readexactly(12), 5) == b"*2\r\n:1\r\n:0\r\n"
        writer.close()

    through(Upstream(b"*2\r\n:", b"1\r\n", b":0\r\n"), use)
    assert heard
